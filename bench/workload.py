"""The payments stream all benchmarks run on: seeded, vectorised, as columns and as NDJSON.

Contract: `generate(n, seed)` is a pure function; rows are in event time order (ms, ties included)
over six hours, users follow a Zipf law over 100,000 names, amounts are log-normal, and a few
hundred instances of each of the patterns P1 to P4 are planted under users of their own.
`ndjson` renders the same rows; `cached_ndjson` keeps the rendering in bench/out/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

OUT = Path(__file__).parent / "out"
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SPAN_MS = 6 * 3_600_000
TYPES = ("login_failed", "login_ok", "tx", "password_change")
LOGIN_FAILED, LOGIN_OK, TX, PASSWORD_CHANGE = range(4)
TYPE_SHARES = (0.05, 0.20, 0.746, 0.004)
USERS = 100_000
ZIPF_EXPONENT = 0.8  # the busiest user makes one event in 45
COUNTRIES = 50
HOME_SHARE = 0.95  # of a user's payments are made in the user's own country
AMOUNT_MEDIAN = 30.0
AMOUNT_SIGMA = 1.0
PLANTED_EACH = 200  # instances of each of P1..P4


@dataclass(frozen=True, slots=True)
class Workload:
    """One array per field, rows in event time order; `amount` is in cents."""

    ts: NDArray[np.int64]
    type: NDArray[np.int8]  # index into TYPES
    user: NDArray[np.int32]
    card: NDArray[np.int32]
    amount: NDArray[np.int64]
    country: NDArray[np.int8]
    ip: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ts)

    def head(self, count: int) -> Workload:
        """The first `count` rows: a shorter time, as dense."""
        return Workload(*(getattr(self, name)[:count] for name in self.__dataclass_fields__))


def generate(n: int, seed: int = 1) -> Workload:
    """`n` rows, planted ones included (fewer are planted when `n` is small)."""
    random = np.random.default_rng(seed)
    planted = _planted(min(PLANTED_EACH, n // 200), random)
    free = n - len(planted)
    user = _zipf(free, USERS, random)
    home = random.integers(0, COUNTRIES, USERS, dtype=np.int8)
    away = random.random(free) >= HOME_SHARE
    country = np.where(away, random.integers(0, COUNTRIES, free, dtype=np.int8), home[user])
    background = Workload(
        ts=START_MS + random.integers(0, SPAN_MS, free),
        type=random.choice(4, free, p=TYPE_SHARES).astype(np.int8),
        user=user,
        card=user * 2 + random.integers(0, 2, free, dtype=np.int32),
        amount=_cents(random.lognormal(np.log(AMOUNT_MEDIAN), AMOUNT_SIGMA, free)),
        country=country,
        ip=user * 2 + random.integers(0, 2, free, dtype=np.int32),
    )
    return _sorted(background, planted)


def user_names(workload: Workload) -> list[str]:
    return [f"u{i:06d}" for i in range(int(workload.user.max()) + 1)]


def card_names(workload: Workload) -> list[str]:
    return [f"c{i:07d}" for i in range(int(workload.card.max()) + 1)]


def country_names() -> list[str]:
    return [chr(65 + i // 26) + chr(65 + i % 26) for i in range(COUNTRIES)]


def ip_names(workload: Workload) -> list[str]:
    top = int(workload.ip.max()) + 1
    return [f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}" for i in range(top)]


def ndjson(workload: Workload) -> bytes:
    """One JSON object a line; card and amount only on payments, as a producer would send them."""

    def named(names: list[str] | tuple[str, ...], codes: NDArray[np.integer]) -> pa.Array:
        return pa.array(names).take(pa.array(codes))

    stamp = pc.strftime(pa.array(workload.ts, pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S")
    whole = pa.array(workload.amount // 100).cast(pa.string())
    cents = pa.array([f"{i:02d}" for i in range(100)]).take(pa.array(workload.amount % 100))
    payment = pc.binary_join_element_wise(
        ',"card":"',
        named(card_names(workload), workload.card),
        '","amount":',
        whole,
        ".",
        cents,
        "",
    )
    extra = pc.if_else(pa.array(workload.type == TX), payment, "")
    lines = pc.binary_join_element_wise(
        '{"type":"',
        named(TYPES, workload.type),
        '","ts":"',
        stamp,
        'Z","user":"',
        named(user_names(workload), workload.user),
        '","ip":"',
        named(ip_names(workload), workload.ip),
        '","country":"',
        named(country_names(), workload.country),
        '"',
        extra,
        "}\n",
        "",
    )
    start, end = lines.offset, lines.offset + len(lines)
    offsets = np.frombuffer(lines.buffers()[1], np.int32)
    return bytes(memoryview(lines.buffers()[2])[int(offsets[start]) : int(offsets[end])])


def cached_ndjson(n: int, head: int, seed: int = 1) -> Path:
    """The first `head` rows of `generate(n)` as a file in bench/out/, written on first use."""
    path = OUT / f"payments-{n}-{head}-{seed}.ndjson"
    if not path.exists():
        OUT.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(ndjson(generate(n, seed).head(head)))
        part.rename(path)
    return path


def scratch() -> TemporaryDirectory[str]:
    """A folder beside the cached files, on the same disk, for databases that are thrown away."""
    OUT.mkdir(exist_ok=True)
    return TemporaryDirectory(dir=OUT)


def _zipf(n: int, top: int, random: np.random.Generator) -> NDArray[np.int32]:
    weights = np.arange(1, top + 1) ** -ZIPF_EXPONENT
    bounds = np.cumsum(weights / weights.sum())
    bounds[-1] = 1.0
    return np.searchsorted(bounds, random.random(n), side="right").astype(np.int32)


def _cents(amount: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.maximum(1, np.round(amount * 100)).astype(np.int64)


def _planted(each: int, random: np.random.Generator) -> Workload:
    """`each` instances of P1, P2, P3 and P4, every one under a user that does nothing else."""
    scripts: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
        # (offset in ms, type, amount in cents, country)
        ((0, TX, 120, 0), (30_000, TX, 90_000, 0)),
        ((0, TX, 1_000, 0), (240_000, TX, 45_000, 1)),
        (
            *((i * 1_000, LOGIN_FAILED, 0, 0) for i in range(4)),
            (9_000, LOGIN_OK, 0, 0),
            (60_000, PASSWORD_CHANGE, 0, 0),
            (120_000, TX, 50_000, 0),
        ),
        ((0, PASSWORD_CHANGE, 0, 0),),
    )
    rows = [
        (begin + offset, kind, USERS + which * each + i, amount, country)
        for which, script in enumerate(scripts)
        for i, begin in enumerate(random.integers(0, SPAN_MS - 900_000, each).tolist())
        for offset, kind, amount, country in script
    ]
    table = np.array(rows, np.int64).reshape(-1, 5)
    user = table[:, 2].astype(np.int32)
    return Workload(
        ts=START_MS + table[:, 0],
        type=table[:, 1].astype(np.int8),
        user=user,
        card=user * 2,
        amount=np.maximum(1, table[:, 3]),
        country=table[:, 4].astype(np.int8),
        ip=user * 2,
    )


def _sorted(*parts: Workload) -> Workload:
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Workload.__dataclass_fields__
    }
    order = np.argsort(columns["ts"], kind="stable")
    return Workload(**{name: column[order] for name, column in columns.items()})
