"""A desk: detections committed with their keys, a dispatcher on the store of the API, and receivers
that answer as they are told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
from api_checks import NOW_MS, Api

from alerts.config import Destinations
from alerts.dispatcher import Dispatcher
from alerts.ports import HttpAnswer, HttpSender, ManualClock, SimulatedHttpSender
from cep.ports import DetectionRow
from cep.values import iso_time

HOUR_MS = 3_600_000


def webhook(port: int = 443, **settings: object) -> dict[str, object]:
    url = f"http://127.0.0.1:{port}/secret-path"
    return {"type": "webhook", "url": url, "secrets": [{"env": "HOOK_SECRET"}], **settings}


def configured(
    *routes: dict[str, object], port: int = 443, **named: dict[str, object]
) -> Destinations:
    """`soc` is the default one."""
    return Destinations.model_validate(
        {
            "default": ["soc"],
            "network": {"allow": ["127.0.0.1"], "ports": [port]},
            "routes": routes,
            "destinations": named or {"soc": webhook(port), "desk": webhook(port)},
        }
    )


@dataclass
class Desk:
    """`status` is what the receivers answer."""

    api: Api
    status: int = 200
    clock: ManualClock = field(init=False)
    sent: SimulatedHttpSender = field(init=False)
    _made: int = 0

    def __post_init__(self) -> None:
        assert isinstance(self.api.state.clock, ManualClock)
        self.clock = self.api.state.clock
        self.sent = SimulatedHttpSender(lambda _: HttpAnswer(self.status, {}, b"said"))
        self.api.state.destinations = configured()

    def configure(self, where: Destinations) -> None:
        self.api.state.destinations = where

    def detect(
        self,
        key: str,
        *to: str,
        rule: str = "card_testing",
        suppressed_by: str | None = None,
    ) -> str:
        """Commits a detection for the card `key`; it is told to nobody yet."""
        self._made += 1
        id_ = f"{self._made:032x}"
        body = {
            "id": id_,
            "rule": rule,
            "version": "0123456789abcdef",
            "key": {"card_id": key},
            "at": iso_time(NOW_MS + self._made),
            "severity": "high",
            "message": f"Card {key}",
            "fields": {},
            "events": [{"step": "p", "position": 7, "event": {"card_id": key}}],
        }
        self.api.commit(
            DetectionRow(
                id_,
                rule,
                "0123456789abcdef",
                "high",
                NOW_MS + self._made,
                suppressed_by,
                json.dumps(body).encode(),
                () if suppressed_by else to or ("default",),
            )
        )
        return id_

    def work(self, after_ms: int = 0, http: HttpSender | None = None) -> None:
        """The dispatcher does what is due `after_ms` from now."""
        self.clock.advance(after_ms)
        state = self.api.state
        dispatcher = Dispatcher(
            state.engine,
            state.destinations,
            clock=self.clock,
            http=http or self.sent,
            tags_of=state.tags_of,
            jitter=lambda: 0.5,
        )
        asyncio.run(dispatcher.run_once())

    def open(self, key: str = "c1", **kinds: str) -> str:
        """The id of an alert that has just been opened."""
        detection = self.detect(key, **kinds)
        self.work()
        for one in self.get("alerts", limit=500)["items"]:
            found = self.get(f"alerts/{one['id']}/detections")["items"]
            if detection in [item["id"] for item in found]:
                return str(one["id"])
        raise AssertionError("no alert was opened")

    # ------------------------------------------------------------------------------ requests

    def get(self, path: str, **parameters: object) -> Any:
        answer = self.api.client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, if_match: str | None = None, **body: object) -> httpx2.Response:
        headers = {} if if_match is None else {"If-Match": if_match}
        return self.api.client.post(f"/api/v1/{path}", json=body, headers=headers)

    def act(self, alert: str, verb: str, if_match: str | None = "*", **body: object) -> Any:
        return self.post(f"alerts/{alert}:{verb}", if_match, **{"by": "ada"} | body)

    def ask(self, path: str) -> httpx2.Response:
        """A POST without a body."""
        return self.api.client.post(f"/api/v1/{path}")


def ok(answer: httpx2.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


@dataclass
class Receiver:
    port: int
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A real HTTP server that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append((headers, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Standard error stays quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
