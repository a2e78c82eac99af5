"""Kill `cep serve` at random moments while events are posted and alerts go out by webhook.

Whatever was posted is in the log once, what is detected is what the log says, and each message
arrives at least once, always with the same bytes.  CEP_KILLS is the number of kills (`make sim`).
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from engine_cases import RULES, events
from sqlalchemy import select, text

import cep
from cep.fold import Fold
from cep.ports import Records
from cep.store import reads
from cep.store.store import open_store
from cep.store.tables import detection, log_chunk

KILLS = int(os.environ.get("CEP_KILLS", "6"))
RECORDS_PER_LIFE = 200
CHUNK = 40
START_SECONDS = 400  # the very first start compiles the kernels
LIFE_SECONDS = 1.5  # at most, once it has answered
WITH_IDS = RULES.replace("  card: string", "  id: string? @id\n  card: string").replace(
    "timestamp @time  card: string }", "timestamp @time  id: string? @id  card: string }"
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """The other side was killed."""


class Receiver:
    """Keeps the bytes of every message by its id; now and then an answer is late.

    Some first answers never come.
    """

    def __init__(self, seed: int) -> None:
        self.bodies: defaultdict[str, list[bytes]] = defaultdict(list)
        rng, receiver = random.Random(seed), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                body = self.rfile.read(size)
                if len(body) < size:  # the sender was killed
                    self.close_connection = True
                    return
                known = receiver.bodies[self.headers["webhook-id"]]
                known.append(body)
                if rng.random() < 0.2:
                    time.sleep(0.1 * rng.random())
                if len(known) == 1 and rng.random() < 0.1:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Receiver:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


DESTINATIONS = """
default = ["soc"]

[network]
allow = ["127.0.0.0/8"]
ports = [{port}]

[destinations.soc]
type = "webhook"
url = "http://127.0.0.1:{port}/soc"
secrets = [{{ env = "SERVE_KILLED_SECRET" }}]

[destinations.mail]
type = "webhook"
url = "http://127.0.0.1:{port}/mail"
secrets = [{{ env = "SERVE_KILLED_SECRET" }}]
"""


class Client:
    """Posts the lines in order, and again what was not answered."""

    def __init__(self, url: str, lines: Sequence[bytes]) -> None:
        self._url = url
        self._lines = lines
        self.posted = 0

    @property
    def done(self) -> bool:
        return self.posted == len(self._lines)

    def post(self) -> bool:
        """Whether the next chunk was answered."""
        end = min(self.posted + CHUNK, len(self._lines))
        request = urllib.request.Request(
            f"{self._url}/api/v1/events",
            b"\n".join(self._lines[self.posted : end]) + b"\n",
            {"Content-Type": "application/x-ndjson"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                told = json.load(answer)
        except (OSError, http.client.HTTPException):  # killed before it answered
            return False
        assert told["accepted"] + told["duplicates"] == end - self.posted
        self.posted = end
        return True


@contextmanager
def serving(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        *(sys.executable, "-m", "cep.cli", "serve", str(folder / "r.cep")),
        *("--store", str(folder / "s.db"), "--port", str(port)),
        *("--destinations", str(folder / "destinations.toml")),
    ]
    with (folder / "serve.log").open("ab") as output:
        secret = {"SERVE_KILLED_SECRET": "whsec_" + "YWJj" * 12}
        process = subprocess.Popen(command, env=os.environ | secret, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Waits until the engine has its partition; False when the process ended before."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):
                return True
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    return False


def lines_with_ids(count: int) -> list[bytes]:
    made = (json.loads(line) for line in events(count, 5) if line.endswith(b"}"))
    return [
        json.dumps(event | {"id": f"e{number}"}).encode()
        for number, event in enumerate(made)
        if event.get("type") in ("Payment", "Block")
    ]


def told_by_log(store_path: Path) -> tuple[list[bytes], list[bytes]]:
    """(the lines in the log, the detections that a fold over it gives)."""
    fold, lines, bodies = Fold(cep.compile(WITH_IDS), "events"), list[bytes](), list[bytes]()
    store = open_store(str(store_path))
    with store.engine.connect() as connection:
        columns = log_chunk.c
        chosen = select(columns.position, columns.count, columns.data, columns.tick_ms)
        for position, count, data, tick_ms in connection.execute(
            chosen.where(columns.topic == "events").order_by(columns.position)
        ):
            outcome = fold.step(Records(position, data, count, tick_ms=tick_ms))
            bodies += [found.body for found in outcome.detections]
            lines += data.splitlines() if tick_ms is None else []
    store.close()
    return lines, bodies


def settled(store_path: Path, records: int) -> bool:
    """Whether everything is folded in and delivered."""
    store = open_store(str(store_path))
    try:
        with store.engine.connect() as connection:
            waiting = connection.execute(
                text(
                    "SELECT (SELECT count(*) FROM outbox)"
                    " + (SELECT count(*) FROM delivery WHERE state IN ('pending', 'waiting'))"
                )
            ).scalar_one()
        return waiting == 0 and reads.partitions(store.engine)[0].position >= records
    finally:
        store.close()


def test_a_served_engine_that_is_killed_tells_all_and_nothing_else(tmp_path: Path) -> None:
    lines = lines_with_ids(RECORDS_PER_LIFE * KILLS)
    database = tmp_path / "s.db"
    seed = time.time_ns()
    rng = random.Random(seed)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, kills = f"http://127.0.0.1:{port}", 0
    (tmp_path / "r.cep").write_text(WITH_IDS)
    with Receiver(seed) as receiver:
        (tmp_path / "destinations.toml").write_text(DESTINATIONS.format(port=receiver.port))
        client = Client(url, lines)
        while kills < KILLS:
            with serving(tmp_path, port) as process:
                if rng.random() < 0.15:
                    time.sleep(2 * rng.random())
                else:
                    assert answers(process, url), (tmp_path / "serve.log").read_text()
                    end = time.monotonic() + LIFE_SECONDS * rng.random()
                    share = len(lines) * (kills + 1) / KILLS
                    while time.monotonic() < end:
                        if client.posted < share:
                            client.post()
                        time.sleep(0.05 * rng.random())
                killer = Thread(target=process.send_signal, args=(signal.SIGKILL,))
                killer.start()
                if not client.done:
                    client.post()
                killer.join()
                assert process.wait(60) == -signal.SIGKILL, (tmp_path / "serve.log").read_text()
            kills += 1
        with serving(tmp_path, port) as process:
            assert answers(process, url)
            while not client.done:
                assert client.post()
            # A message whose answer got lost holds up those of its alert for five seconds.
            deadline = time.monotonic() + 120 + 10 * KILLS
            while not settled(database, len(lines)):
                assert time.monotonic() < deadline, f"seed {seed}"
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0

    logged, expected = told_by_log(database)
    assert logged == lines
    store = open_store(str(database))
    with store.engine.connect() as connection:
        found = connection.execute(select(detection.c.body).order_by(detection.c.sequence))
        bodies = list(found.scalars())
        rows = connection.execute(text("SELECT id, state FROM delivery"))
        states = {row.id: row.state for row in rows}
    store.close()
    assert bodies == expected, f"seed {seed}"
    assert len(expected) > 5 * KILLS
    assert set(states.values()) == {"delivered"}
    assert receiver.bodies.keys() == states.keys(), f"seed {seed}"
    sent = {id_: set(bodies) for id_, bodies in receiver.bodies.items() if len(set(bodies)) > 1}
    assert sent == {}, f"seed {seed}"
