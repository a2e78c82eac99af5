"""Destinations, detections and look-ups that the tests of `alerts` share."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

from alert_receivers import HttpReceiver, MailReceiver
from sqlalchemy import Engine, select

from alerts.attempt import Attempt, Surroundings
from alerts.config import Destinations
from alerts.deliveries import Delivery
from alerts.dispatcher import Dispatcher
from alerts.http_sender import HttpxSender
from alerts.message import Episode, Kind, Notice, Subject
from alerts.ports import Clock, HttpSender, ManualClock, SmtpSender
from alerts.reasons import Reason
from alerts.smtp_sender import AiosmtplibSender
from alerts.stages import run_stages
from cep.store.tables import delivery, delivery_attempt

NOW_MS = 1_733_813_746_000
SECRET = "whsec_" + base64.b64encode(b"first secret of 24 bytes" + b"!" * 8).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"older secret of 24 bytes" + b"!" * 8).decode()
DETECTION = {
    "rule": "card_testing",
    "version": "0123456789abcdef",
    "key": {"card_id": "c1"},
    "at": "2024-12-10T06:55:46.000Z",
    "severity": "high",
    "message": "3 declines, then 250.00",
    "fields": {"hit.amount": 250.0},
    "events": [{"step": "hit", "position": 12, "event": {"type": "Payment", "amount": 250.0}}],
}


def detection_body(id_: str, **changes: object) -> bytes:
    return json.dumps({"id": id_} | DETECTION | changes, ensure_ascii=False).encode()


EPISODE = Episode(
    id="e1" * 16,
    rule="card_testing",
    severity="high",
    title="3 declines, then 250.00",
    state="open",
    opened_ms=NOW_MS - 60_000,
    detections=7,
)


def subject(number: int = 1, **changes: object) -> Subject:
    """A detection; `changes` are to its body, and what else a subject has follows from them."""
    id_ = f"{number:032x}"
    body = detection_body(id_, **changes)
    told = DETECTION | changes
    return Subject(id_, str(told["rule"]), str(told["severity"]), NOW_MS + number, body)


def every_kind(**changes: object) -> list[Notice]:
    """One notice of each kind, with and without an alert where both can be; gathered ones of 3."""
    one, three = (subject(**changes),), tuple(subject(number, **changes) for number in (1, 2, 3))
    alert = {"episode": EPISODE, "number": 2}
    return [
        notice(*one),
        notice(*one, episode=EPISODE, note="again"),
        notice(*three, kind=Kind.GATHERED, left_out=4),
        notice(*three, kind=Kind.GATHERED, **alert),
        notice(*one, kind=Kind.REMINDER, note="open for 4 h", **alert),
        notice(*one, kind=Kind.ESCALATION, note="nobody acknowledged it in 15 min", **alert),
        notice(*one, kind=Kind.RESOLVED, **alert),
        notice(kind=Kind.TEST),
    ]


def send(said: Notice, where: Destinations, name: str) -> tuple[Reason, Attempt, bytes]:
    """One attempt with real senders: its reason, what is known of it, the bytes that are kept."""
    kept: list[bytes] = []

    async def load_notice(one: Delivery) -> Notice:
        return said

    async def save_body(id_: str, channel: str, body: bytes) -> None:
        kept.append(body)

    async def attempt_once() -> tuple[Reason, Attempt]:
        attempt = Attempt(
            Delivery(
                id=said.id,
                kind=said.kind,
                detection_id="d",
                alert_id=None,
                destination=name,
                thread="d",
                number=said.number,
                sequence=1,
                attempts=0,
                attempts_forgiven=0,
                created_ms=said.created_ms,
                channel=None,
                body=None,
                note=None,
                recipients={},
            )
        )
        http = HttpxSender(where.network.policy())
        around = Surroundings(
            destinations=where,
            disabled=(),
            clock=ManualClock(NOW_MS),
            http=http,
            smtp=AiosmtplibSender(),
            load_notice=load_notice,
            save_body=save_body,
        )
        reason = await run_stages(attempt, around)
        await http.aclose()
        return reason, attempt

    reason, attempt = asyncio.run(attempt_once())
    return reason, attempt, kept[0]


def notice(*subjects: Subject, kind: Kind = Kind.DETECTION, **changes: Any) -> Notice:
    """What one delivery says; its id is 32 hex digits."""
    return Notice("ab" * 16, kind, "oncall", NOW_MS, subjects, **changes)


def webhook(port: int, **settings: object) -> dict[str, object]:
    return {
        "type": "webhook",
        "url": f"http://127.0.0.1:{port}/hook",
        "secrets": [{"env": "HOOK_SECRET"}],
        **settings,
    }


def mail(mailbox: MailReceiver, *to: str, **settings: object) -> dict[str, object]:
    return {
        "type": "smtp",
        "host": "127.0.0.1",
        "port": mailbox.port,
        "tls": "none",
        "from": "cep@example.com",
        "to": list(to) or ["oncall@example.com"],
        **settings,
    }


def destinations(
    ports: Sequence[int] = (), default: Sequence[str] = (), **named: dict[str, object]
) -> Destinations:
    """Loopback is allowed, and the `ports` besides those named in URLs of webhooks."""
    urls = [str(one["url"]) for one in named.values() if isinstance(one.get("url"), str)]
    used = {int(url.split(":")[2].split("/")[0]) for url in urls}
    return Destinations.model_validate(
        {
            "default": list(default),
            "network": {"allow": ["127.0.0.0/8"], "ports": sorted(used | set(ports) | {80})},
            "destinations": named,
        }
    )


def hook(receiver: HttpReceiver, **settings: object) -> Destinations:
    """One destination, `soc`, at `receiver`."""
    return destinations(soc=webhook(receiver.port, **settings))


def middle() -> float:
    """A jitter that changes nothing."""
    return 0.5


def dispatcher(
    engine: Engine,
    where: Destinations,
    clock: Clock | None = None,
    http: HttpSender | None = None,
    smtp: SmtpSender | None = None,
) -> Dispatcher:
    return Dispatcher(
        engine, where, clock=clock or ManualClock(NOW_MS), http=http, smtp=smtp, jitter=middle
    )


def all_deliveries(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        query = select(delivery).order_by(delivery.c.sequence, delivery.c.destination)
        return list(connection.execute(query))


def one_delivery(engine: Engine) -> Any:
    (found,) = all_deliveries(engine)
    return found


def all_attempts(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        query = select(delivery_attempt).order_by(
            delivery_attempt.c.started_ms, delivery_attempt.c.number
        )
        return list(connection.execute(query))
