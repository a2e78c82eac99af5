"""`cep serve` as a process, and a client of its API, for the tests of both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine_cases import BASE_MS, RULES

START_SECONDS = 400  # the very first start compiles the kernels


@contextmanager
def serving(
    folder: Path, text: str = RULES, *options: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Base URL and process; output is in serve.log."""
    rules, log = folder / "r.cep", folder / "serve.log"
    rules.write_text(text)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cep.cli", "serve", str(rules)),
                *("--store", str(folder / "s.db"), "--port", "0", *options),
            ],
            stdout=output,
            stderr=output,
        )
        try:
            address = wait_for(lambda: re.search(rb"http://\S+", log.read_bytes()), START_SECONDS)
            yield address.group().decode(), process
        finally:
            process.kill()
            process.wait()


def wait_for(look: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise TimeoutError


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def healthy(url: str) -> bool:
    """503 until the engine has taken its partition over."""
    try:
        return get(f"{url}/healthz")["status"] == "ok"
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return False


def post(url: str, events: list[dict[str, object]]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(events).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def payment(at_s: int, amount: float) -> dict[str, object]:
    return {"type": "Payment", "ts": BASE_MS + at_s * 1000, "card": "c", "amount": amount}
