"""The two receivers of the demo: a real HTTP server and a real SMTP server, on this machine only.

The webhook receiver does what every receiver should: it checks the signature over the raw body
before it believes a word, answers 401 when the check fails, and remembers ids, so a message sent
twice counts once.
"""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived first with this id; `at` is wall clock in seconds."""

    detection_id: str
    at: float
    text: str
    body: dict[str, object]


class WebhookReceiver:
    """`received` by detection id; `refused` counts messages whose signature did not hold."""

    def __init__(self, secret: str) -> None:
        self.received: dict[str, Received] = {}
        self.refused = 0
        verifier = Webhook(secret)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = self.rfile.read(min(length, BODY_BYTES_MAX))
                try:
                    verifier.verify(body, {k.lower(): v for k, v in self.headers.items()})
                except WebhookVerificationError:
                    receiver.refused += 1
                    return self._answer(401)
                receiver._keep(json.loads(body))
                return self._answer(204)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """The demo prints what matters itself."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="webhook receiver")

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"

    def _keep(self, envelope: dict[str, dict[str, object]]) -> None:
        detection = envelope["data"]
        received = Received(str(detection["id"]), time.time(), str(detection["message"]), detection)
        self.received.setdefault(received.detection_id, received)

    def __enter__(self) -> WebhookReceiver:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Frees the port; for a receiver that was never entered."""
        self._server.server_close()


_DETECTION = re.compile(r"^detection: ([0-9a-f]{32})\r?$", re.MULTILINE)


class MailSink:
    """`received` by detection id, which the text part says in a line of its own."""

    def __init__(self) -> None:
        self.received: dict[str, Received] = {}
        self.port = free_port()
        self._controller: Controller | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(envelope.original_content or b"", policy=policy.SMTP)
        text = message.get_body(("plain",))
        said = _DETECTION.search(text.get_content()) if text is not None else None
        detection_id = said[1] if said is not None else ""
        received = Received(detection_id, time.time(), str(message["Subject"]), {})
        self.received.setdefault(detection_id, received)
        return "250 OK"

    def __enter__(self) -> MailSink:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._controller is not None
        self._controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
