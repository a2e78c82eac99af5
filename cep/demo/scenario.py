"""What happens during the demo: ordinary life, and incidents planted in it.

`scenario(seconds, seed)` is pure: the same arguments give the same events.  Every planted incident
names the rule that must find it and the key it must be found under; ordinary life never fits a
rule.  Times are seconds from the start of the demo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

PAYMENTS_PER_SECOND = 40
LOGINS_PER_SECOND = 4
HEARTBEAT_EVERY_SECONDS = 2
SECONDS_MIN = 45  # the longest planted incident, and time for its alert to arrive
SECONDS_MAX = 300  # beyond it, host_silent of the monitoring pack would find the outage too
SETTLE_SECONDS = 5  # at the end nothing is planted, so that the last alerts arrive in time

CARD_HOLDERS = 2_000
HOSTS = ("db1", "db2", "web1", "web2", "web3", "queue1", "cache1", "mail1")
SERVICES = ("checkout", "catalogue", "search", "login")
MERCHANTS = tuple(f"shop-{i}" for i in range(60))


@dataclass(frozen=True, slots=True)
class Happening:
    """One event at `second`; `value` is its JSON without the time."""

    second: float
    value: dict[str, object]


@dataclass(frozen=True, slots=True)
class Incident:
    """`rule` must report `key` exactly once; `begin` is the second of its first event."""

    rule: str
    key: dict[str, object]
    story: str
    begin: float


@dataclass(frozen=True, slots=True)
class Scenario:
    happenings: tuple[Happening, ...]  # in order of time
    incidents: tuple[Incident, ...]


def scenario(seconds: int, seed: int = 1) -> Scenario:
    """Raises ValueError when the incidents do not fit into `seconds`."""
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise ValueError(f"the demo takes {SECONDS_MIN} to {SECONDS_MAX} seconds")
    random = Random(seed)
    happenings: list[Happening] = []
    incidents: list[Incident] = []
    for plant in PLANTS:
        incident, events = plant(random, seconds)
        incidents.append(incident)
        happenings.extend(events)
    silent_from = next(i.begin for i in incidents if i.rule == "demo_host_silent")
    happenings.extend(_payments(random, seconds))
    happenings.extend(_logins(random, seconds))
    happenings.extend(_heartbeats(seconds, silent_from))
    happenings.sort(key=lambda happening: happening.second)
    return Scenario(tuple(happenings), tuple(sorted(incidents, key=lambda i: i.begin)))


# ---------------------------------------------------------------------------------- ordinary life


def _payments(random: Random, seconds: int) -> Iterator[Happening]:
    for i in range(seconds * PAYMENTS_PER_SECOND):
        holder = random.randrange(CARD_HOLDERS)
        declined = random.random() < 0.02
        amount = min(90.0, 2.5 + random.lognormvariate(2.8, 0.8))
        yield Happening(
            random.uniform(0, seconds),
            _payment(f"p{i}", f"card-{holder}", f"user-{holder}", random.choice(MERCHANTS), amount)
            | {"status": "declined" if declined else "approved"},
        )


def _logins(random: Random, seconds: int) -> Iterator[Happening]:
    """Each login passes MFA and now and then mistypes once; sessions are never shared."""
    for i in range(seconds * LOGINS_PER_SECOND):
        user, session = f"user-{random.randrange(CARD_HOLDERS)}", f"s{i}"
        second = random.uniform(0, seconds)
        if random.random() < 0.1:
            yield Happening(second, _login(user, f"{session}-x", False, "203.0.113.20"))
        yield Happening(second + 1.0, _login(user, session, True, "203.0.113.20"))
        yield Happening(second + 1.5, {"type": "MfaPassed", "user": user, "session_id": session})


def _heartbeats(seconds: int, silent_from: float) -> Iterator[Happening]:
    for index, host in enumerate(HOSTS):
        for beat in range(0, seconds, HEARTBEAT_EVERY_SECONDS):
            second = beat + index * 0.1
            if not (host == "db2" and second > silent_from):
                yield Happening(second, {"type": "Heartbeat", "host": host})
    for service in SERVICES:
        for beat in range(0, seconds, 5):
            yield Happening(
                beat + 0.5,
                {"type": "HealthCheck", "service": service, "latency_ms": 40, "ok": True},
            )


# ---------------------------------------------------------------------------------- incidents

Plant = Callable[[Random, int], tuple[Incident, list[Happening]]]


def _payment(
    payment_id: str, card: str, user: str, merchant: str, amount: float, country: str = "FR"
) -> dict[str, object]:
    return {
        "type": "Payment",
        "id": payment_id,
        "card_id": card,
        "user": user,
        "merchant_id": merchant,
        "amount": round(amount, 2),
        "status": "approved",
        "channel": "online",
        "country": country,
    }


def _login(user: str, session: str, ok: bool, ip: str) -> dict[str, object]:
    return {"type": "Login", "user": user, "sid": session, "ok": ok, "ip": ip}


def _transfer(user: str, session: str, amount: float, balance: float) -> dict[str, object]:
    return {
        "type": "Transfer",
        "user": user,
        "session_id": session,
        "payee": "acc-9921",
        "amount": amount,
        "balance": balance,
    }


def _script(begin: float, *events: tuple[float, dict[str, object]]) -> list[Happening]:
    return [Happening(begin + offset, value) for offset, value in events]


def _begin(random: Random, seconds: int, lasts: float) -> float:
    return round(random.uniform(1, seconds - SETTLE_SECONDS - lasts), 3)


def _card_testing(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, card, user = _begin(random, seconds, 12), "card-stolen", "alice"
    probe = {"status": "declined"}
    return (
        Incident("card_testing", {"card_id": card}, "stolen card tried, then emptied", begin),
        _script(
            begin,
            (0, _payment("x1", card, user, "shop-3", 0.5) | probe),
            (3, _payment("x2", card, user, "shop-8", 1.0) | probe),
            (6, _payment("x3", card, user, "shop-8", 0.8) | probe),
            (11, _payment("x4", card, user, "shop-5", 640.0)),
        ),
    )


def _escalation(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, card, user = _begin(random, seconds, 10), "card-copied", "bruno"
    return (
        Incident("spend_escalation", {"card_id": card}, "coffee in FR, a watch in US", begin),
        _script(
            begin,
            (0, _payment("y1", card, user, "shop-1", 4.2)),
            (9, _payment("y2", card, user, "shop-40", 890.0, "US")),
        ),
    )


def _country_jump(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, card, user = _begin(random, seconds, 8), "card-cloned", "chloe"
    return (
        Incident("country_jump", {"card_id": card}, "one card in two countries", begin),
        _script(
            begin,
            (0, _payment("z1", card, user, "shop-2", 31.0) | {"channel": "chip"}),
            (7, _payment("z2", card, user, "shop-50", 45.0, "TH") | {"channel": "chip"}),
        ),
    )


def _takeover(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, user, ip = _begin(random, seconds, 25), "diana", "198.51.100.7"
    failures = [(1.5 * i, _login(user, f"t{i}", False, ip)) for i in range(6)]
    return (
        Incident("account_takeover", {"user": user}, "password guessed, account emptied", begin),
        _script(
            begin,
            *failures,
            (12, _login(user, "t-in", True, ip)),
            (13, {"type": "MfaPassed", "user": user, "session_id": "t-in"}),
            (16, {"type": "ProfileChange", "user": user, "field": "email"}),
            (24, _transfer(user, "t-in", 4_100.0, 4_400.0)),
        ),
    )


def _without_mfa(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, user, session = _begin(random, seconds, 8), "emil", "no-mfa"
    return (
        Incident("transfer_without_mfa", {"session": session}, "large transfer, no MFA", begin),
        _script(
            begin,
            (0, _login(user, session, True, "203.0.113.99")),
            (7, _transfer(user, session, 1_800.0, 9_000.0)),
        ),
    )


def _deploy(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, service = _begin(random, seconds, 14), "checkout"
    deploy: dict[str, object] = {
        "type": "Deploy",
        "service": service,
        "release": "v42",
        "author": "kim",
    }
    error: dict[str, object] = {
        "type": "RequestFailed",
        "service": service,
        "status": 500,
        "path": "/pay",
    }
    return (
        Incident("deploy_then_errors", {"service": service}, "a bad release", begin),
        _script(begin, (0, deploy), *((3 + i * 1.0, error) for i in range(10))),
    )


def _silence(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin = _begin(random, seconds, 13)
    return Incident("demo_host_silent", {"host": "db2"}, "the machine db2 dies", begin), []


def _flapping(random: Random, seconds: int) -> tuple[Incident, list[Happening]]:
    begin, host = _begin(random, seconds, 20), "web3"
    cycle: list[tuple[float, dict[str, object]]] = [
        (7.0 * i + offset, {"type": kind, "host": host})
        for i in range(3)
        for offset, kind in ((0.0, "HostDown"), (2.0, "HostUp"))
    ]
    return (
        Incident("host_flapping", {"host": host}, "web3 goes up and down", begin),
        _script(begin, *cycle),
    )


PLANTS: tuple[Plant, ...] = (
    _card_testing,
    _escalation,
    _country_jump,
    _takeover,
    _without_mfa,
    _deploy,
    _silence,
    _flapping,
)
