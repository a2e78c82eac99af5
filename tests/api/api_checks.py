"""A real server (uvicorn, free port) over a real store, and what its answers must look like."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from sqlalchemy import Engine

from api.app import create_app
from api.state import ApiState
from cep.log.sqlite import SqliteLog
from cep.ports import Checkpoint, DeadLetterRow, DetectionRow, LateRow
from cep.store.store import SqlStore
from dsl.model import Bind, Key, Kind, Rule, RuleSet, Skip, Step, Symbol, Template, Type
from dsl.source import Span

NOW_MS = 1_733_813_746_000
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loads no certificates: all is plain HTTP here
NOWHERE = Span("rules.cep", 0, 0)
STRING = Type(Kind.STRING)


def rule(name: str) -> Rule:
    return Rule(
        name=name,
        title=f"Title of {name}",
        severity="high",
        tags=("fraud",),
        doc=None,
        keys=(Key("card_id", STRING),),
        alphabet=(Symbol("Payment", None, (("card_id",),)),),
        steps=(Step(0, "p", "Payment", None, (("card_id",),), False, False, NOWHERE),),
        pattern=Bind(0),
        within_ms=600_000,
        where=None,
        skip=Skip.PAST_LAST,
        suppress=None,
        message=Template(("found",)),
        attributes=(),
        notify=("soc",),
        version="0123456789abcdef",
        pattern_version="fedcba9876543210",
        span=NOWHERE,
    )


RULES = RuleSet(events={}, rules=(rule("card_testing"), rule("quiet")), tests=())


class Server:
    """uvicorn in a thread, stopped at the end of the block."""

    def __init__(self, state: ApiState) -> None:
        config = uvicorn.Config(
            create_app(state), host="127.0.0.1", port=0, log_config=None, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> str:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@dataclass
class Api:
    client: httpx2.Client
    url: str
    state: ApiState
    store: SqlStore
    log: SqliteLog

    @property
    def engine(self) -> Engine:
        return self.state.engine

    def commit(
        self,
        *detections: DetectionRow,
        dead: tuple[DeadLetterRow, ...] = (),
        late_events: tuple[LateRow, ...] = (),
        partition: str = "events",
        watermark_ms: int = NOW_MS - 30_000,
        **counters: int,
    ) -> None:
        checkpoint = Checkpoint(position=7, watermark_ms=watermark_ms, rules={}, counters=counters)
        lease = self.store.acquire(partition)
        self.store.commit(lease, checkpoint, {}, detections, dead, late=late_events)


def detection(
    number: int, rule: str = "card_testing", *destinations: str, suppressed_by: str | None = None
) -> DetectionRow:
    id_ = f"{number:032x}"
    body = f'{{"id":"{id_}","rule":"{rule}","message":"nº {number}"}}'.encode()
    return DetectionRow(
        id_, rule, "0123456789abcdef", "high", NOW_MS + number, suppressed_by, body, destinations
    )


def problem(response: httpx2.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of `response`, checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:cep:problem:{kind}"
    assert document["title"]
    return document
