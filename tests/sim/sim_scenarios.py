"""Small scenarios: rules, what clients do, and how receivers behave.  One for each thing that has
state of its own to lose in a crash."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sim_rules import (
    ABSENCE,
    ANY_ORDER,
    DERIVED,
    FACTS,
    HIDDEN,
    POLICIES,
    ROW_KEYS,
    SCHEMA,
    SEQUENCE,
    TABLES,
    TOLD,
    WINDOWS,
)
from simulated_world import START_MS

from alerts.config import Destinations
from cep.deployment.base import Mode
from cep.deployment.switch import Policy

KEYS = ("a", "b", "c")


# ---------------------------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True)
class Append:
    """A client appends lines, perhaps while the engine is still busy with the last ones."""

    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Once the engine is idle, rows of a table are written and deleted."""

    table: str
    upserts: tuple[object, ...] = ()
    deletes: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Reload:
    """Once the engine is idle, the source of a table is another one and is read anew."""

    table: str
    rows: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Restart:
    """Once the engine is idle, the program is started anew with these rules."""

    rules: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing happens for so long, not even in the program."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Silence:
    """The engine looks and finds nothing for so long."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Deploy:
    """Once the engine is idle: a text takes the place of the rules' (""), or rules get a mode."""

    text: str = ""
    mode: Mode = Mode.LIVE
    rules: tuple[str, ...] = ()
    policy: Policy = Policy.DRAIN


Step: TypeAlias = Append | Change | Reload | Restart | Wait | Silence | Deploy


@dataclass(frozen=True, slots=True)
class Scenario:
    """`plans`: how receivers answer (see `Receivers`); `ends`: the log ends, and time with it.

    `default`: where alerts go whose rule does not say so; `idle_ms`: see `cep.idle` (0: never);
    `routes` and `webhook`: settings of routes, and of every webhook.
    """

    name: str
    rules: str
    steps: tuple[Step, ...]
    plans: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: Mapping[str, Sequence[object]] = field(default_factory=dict)
    ends: bool = False
    batch_records: int = 4
    commit_interval_ms: int = 30
    concurrency: int = 2
    default: tuple[str, ...] = ()
    idle_ms: int = 0
    routes: tuple[Mapping[str, object], ...] = ()
    webhook: Mapping[str, object] = field(default_factory=dict)

    @property
    def deploys(self) -> bool:
        """Whether rules change, at a restart or while the program runs."""
        return any(isinstance(step, Deploy | Restart) for step in self.steps)

    @property
    def destinations(self) -> Destinations:
        hook = {"type": "webhook", "secrets": [{"env": "HOOK_SECRET"}], **self.webhook}
        return Destinations.model_validate(
            {
                "default": self.default,
                "routes": self.routes,
                "destinations": {
                    name: hook | {"url": f"http://{name}/", "concurrency": self.concurrency}
                    for name in ("soc", "desk")
                }
                | {
                    "mail": {
                        "type": "smtp",
                        "host": "mail",
                        "tls": "none",
                        "from": "cep@example.com",
                        "to": ["ann@example.com", "bob@example.com"],
                    }
                },
            }
        )


# ---------------------------------------------------------------------------------- streams


def line(kind: str, at_ms: int, **fields: object) -> bytes:
    texts = [f'"{name}":{value}' for name, value in fields.items()]
    return ",".join([f'{{"type":"{kind}","ts":{START_MS + at_ms}', *texts]).encode() + b"}"


def stream(count: int, seed: int, *, every_ms: int = 2_000, odd: bool = False) -> list[bytes]:
    """Events of a few cards, out of order within the lateness; `odd`: some late, bad or unread."""
    rng = random.Random(seed)
    lines = []
    for number in range(count):
        at_ms = number * every_ms - rng.randrange(5_000)
        card = f'"{rng.choice(KEYS)}"'
        draw = rng.random()
        if odd and draw < 0.3:
            lines.append(
                rng.choice(
                    (
                        line("Pay", at_ms - 60_000, card=card, amount=1),
                        line("Pay", at_ms, card=card, amount='"much"'),
                        line("Unread", at_ms),
                        b'{"type":"Pay","ts":',
                        b"",
                        b"\xff\xfe",
                    )
                )
            )
        elif draw < 0.75:
            amount = rng.choice((1, 2, 50, 600, 900))
            lines.append(
                line("Pay", at_ms, card=card, shop=f'"s{rng.randrange(3)}"', amount=amount)
            )
        elif draw < 0.92:
            lines.append(line("Login", at_ms, card=card, ok=rng.choice(("true", "false"))))
        else:
            lines.append(line("Block", at_ms, card=card))
    return lines


def appends(lines: Sequence[bytes], size: int = 7) -> tuple[Append, ...]:
    return tuple(Append(tuple(lines[at : at + size])) for at in range(0, len(lines), size))


def last_words() -> tuple[Step, ...]:
    """An event long after all others: what waits for time is decided."""
    return Wait(3_600_000), Append((line("Pay", 3_600_000, card='"z"', amount=3),))


def of_stream(name: str, rules: str, *, seed: int, count: int = 28, **more: Any) -> Scenario:
    odd, every_ms = more.pop("odd", False), more.pop("every_ms", 2_000)
    lines = stream(count, seed, odd=odd, every_ms=every_ms)
    return Scenario(name, SCHEMA + rules, (*appends(lines), *last_words()), **more)


# ---------------------------------------------------------------------------------- scenarios


def _changed_tables() -> Scenario:
    first, second, third = (tuple(stream(24, 31)[at : at + 8]) for at in (0, 8, 16))
    return Scenario(
        "tables changed while running",
        SCHEMA + TABLES,
        (
            Change("shops", ({"shop": "s1", "owner": "eve"},)),
            Append(first),
            Change("shops", ({"shop": "s0", "owner": "x"}, {"shop": "s2", "owner": "y"}), ("s1",)),
            Append(second),
            Change("watched", ("b", "c"), ("a",)),
            Append(third),
            *last_words(),
        ),
    )


def _reloaded_tables() -> Scenario:
    first, second, third = (tuple(stream(24, 32)[at : at + 8]) for at in (0, 8, 16))
    return Scenario(
        "sources of tables read anew",
        SCHEMA + TABLES,
        (
            Append(first),
            Reload("shops", ({"shop": "s0", "owner": "x"}, {"shop": "s1", "owner": "y"})),
            Append(second),
            Reload("watched", ("a", "b")),
            Append(third),
            Reload("shops", ({"shop": "s2", "owner": "z"},)),
            *last_words(),
        ),
        rows={"shops": [{"shop": "s0", "owner": "w"}], "watched": ["a", "c"]},
    )


def _keys_of_rows() -> Scenario:
    lines = stream(20, 33)
    return Scenario(
        "keys that are rows of a table",
        SCHEMA + ROW_KEYS,
        (
            Append(tuple(lines[:6])),
            Change("cards", ({"card": "a", "owner": "x"}, {"card": "n", "owner": "y"})),
            Append(tuple(lines[6:13])),
            Change("cards", ({"card": "b", "owner": "z"},), ("n",)),
            Append(tuple(lines[13:])),
            *last_words(),
        ),
    )


def _changed_rules() -> Scenario:
    lines = stream(28, 34)
    return Scenario(
        "restarts with changed rules",
        SCHEMA + SEQUENCE + DERIVED,
        (
            *appends(lines[:10]),
            Restart(SCHEMA + SEQUENCE.replace("40s", "50s") + DERIVED + ABSENCE),
            *appends(lines[10:20]),
            Restart(SCHEMA + ABSENCE + DERIVED.replace("20s", "25s")),
            *appends(lines[20:]),
            *last_words(),
        ),
    )


def _deployed() -> Scenario:
    """Patterns that change and change back, with old versions that drain."""
    lines = stream(24, 36)
    first = SCHEMA + SEQUENCE + DERIVED
    second = SCHEMA + SEQUENCE.replace("40s", "50s") + DERIVED + ABSENCE
    return Scenario(
        "rules deployed while running",
        first,
        (
            *appends(lines[:10]),
            Deploy(second),
            *appends(lines[10:17]),
            Deploy(first),
            *appends(lines[17:]),
            *last_words(),
        ),
        default=("soc",),
    )


def _modes() -> Scenario:
    lines = stream(22, 37, every_ms=1_000)
    return Scenario(
        "rules paused, in shadow, and live again",
        SCHEMA + HIDDEN + SEQUENCE + ABSENCE,
        (
            *appends(lines[:8]),
            Deploy(mode=Mode.SHADOW, rules=("hidden",)),
            Deploy(mode=Mode.PAUSED, rules=("climb", "unblocked"), policy=Policy.DROP),
            *appends(lines[8:15]),
            Deploy(mode=Mode.LIVE, rules=("hidden", "climb", "unblocked")),
            *appends(lines[15:]),
            *last_words(),
        ),
        default=("soc",),
        batch_records=3,
    )


def _far_ahead() -> Scenario:
    """Some are so far ahead that everything after them would be late; by more than the process is
    ever down, so that they are far ahead whenever they are appended."""
    lines = stream(24, 35)
    for at, days in ((3, 3_650), (9, 10), (10, 30)):
        lines.insert(at, line("Pay", days * 86_400_000, card='"a"', amount=900))
    return Scenario(
        "events far ahead of their time",
        SCHEMA + SEQUENCE + ABSENCE,
        (*appends(lines), *last_words()),
        batch_records=5,
    )


def scenarios() -> Iterator[Scenario]:
    yield of_stream("a sequence with a loop", SEQUENCE, seed=1, default=("soc",))
    yield of_stream("steps in any order", ANY_ORDER, seed=2, count=35)
    yield of_stream("absences and silences", ABSENCE, seed=3)
    yield of_stream("absences at the end of the log", ABSENCE, seed=4, ends=True)
    yield of_stream("windows and their resolutions", WINDOWS, seed=5)
    yield of_stream("windows at the end of the log", WINDOWS, seed=6, ends=True, count=20)
    yield of_stream("facts about a key", FACTS, seed=7)
    yield _changed_tables()
    yield _reloaded_tables()
    yield _keys_of_rows()
    yield of_stream("derived events", DERIVED, seed=8)
    yield of_stream("late, bad and unread events", SEQUENCE + ABSENCE, seed=9, odd=True, count=40)
    yield _far_ahead()
    yield of_stream("policies of matching", POLICIES, seed=10)
    yield of_stream("suppression", HIDDEN, seed=11, every_ms=1_000)
    yield _changed_rules()
    yield _deployed()
    yield _modes()
    yield of_stream("one record a batch", SEQUENCE + ABSENCE, seed=12, batch_records=1, count=14)
    yield of_stream("all kinds at once", SEQUENCE + WINDOWS + FACTS + DERIVED, seed=13, count=20)
    few: dict[str, Any] = {"count": 14, "batch_records": 8}
    yield of_stream(
        "receivers that fail at first",
        TOLD % '"soc", "desk"',
        seed=21,
        plans={"soc": ("500", "429", "200"), "desk": ("down", "503", "200")},
        **few,
    )
    yield of_stream(
        "answers that are lost",
        TOLD % '"soc", "desk"',
        seed=22,
        plans={"soc": ("lost", "200"), "desk": ("timeout", "timeout", "200")},
        count=7,
        batch_records=8,
    )
    yield of_stream(
        "receivers that refuse for good",
        TOLD % '"soc", "desk", "nobody"',
        seed=23,
        plans={"soc": ("400",), "desk": ("410",)},
        concurrency=1,
        **few,
    )
    yield of_stream(
        "receivers that never work",
        TOLD % '"soc"',
        seed=26,
        plans={"soc": ("500",)},
        count=3,
        batch_records=8,
    )
    yield of_stream(
        "mail",
        TOLD % '"mail", "default"',
        default=("desk",),
        seed=25,
        plans={"mail": ("450 bob@example.com", "lost", "550 bob@example.com")},
        **few,
    )


SCENARIOS = {scenario.name: scenario for scenario in scenarios()}
