"""A real `cep serve` with a webhook receiver, and a real browser that notices what goes wrong."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from console_site import Site, wait_for
from playwright.sync_api import Browser, Page, expect, sync_playwright

START_SECONDS = 400  # the very first start compiles the kernels
RULES = """
event Payment { ts: timestamp @time  card: string  amount: decimal  note: string? }

rule escalation "Small, then large" {
  severity high
  tags "fraud"
  by card
  match small: Payment[amount < 10.00] -> large: Payment[amount > 500.00]
  within 10m
  notify "desk"
  alert "Card {card}: {small.amount:.2f}, then {large.amount:.2f} {large.note ?? ''}"
}
"""


expect.set_options(timeout=60_000)  # a machine that is busy with other tests is slow


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("console")
    found = Site("")

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"thanks")

        def log_message(self, format: str, *args: object) -> None:
            """Standard error stays quiet."""

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True).start()
    port = receiver.server_address[1]
    (folder / "rules.cep").write_text(RULES)
    (folder / "destinations.toml").write_text(
        f'default = ["desk"]\n[network]\nallow = ["127.0.0.1"]\nports = [{port}]\n'
        f'[destinations.desk]\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/"\n'
        'secrets = [{ env = "CONSOLE_TEST_SECRET" }]\n'
    )
    secret = "whsec_" + base64.b64encode(b"x" * 32).decode()
    command = [
        *(sys.executable, "-m", "cep.cli", "serve", "rules.cep", "--store", "s.db"),
        *("--destinations", "destinations.toml", "--port", "0"),
    ]
    log = folder / "serve.log"
    root = str(Path(__file__).parents[2])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"CONSOLE_TEST_SECRET": secret, "PYTHONPATH": root},
            stdout=output,
            stderr=output,
        )
        try:
            address = wait_for(lambda: _address(process, log), START_SECONDS)
            found.url = address.group()
            wait_for(lambda: _healthy(found), START_SECONDS)
            yield found
        finally:
            process.terminate()
            process.wait(30)
            receiver.shutdown()
            receiver.server_close()


def _address(process: subprocess.Popen[bytes], log: Path) -> re.Match[str] | None:
    assert process.poll() is None, log.read_text()
    return re.search(r"http://\S+", log.read_text())


def _healthy(site: Site) -> bool:
    try:
        return bool(site.get("/healthz")["status"] == "ok")
    except urllib.error.HTTPError:
        return False


@pytest.fixture(scope="module")  # while it is there, an event loop runs in this thread
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A fresh browser in which nothing may go wrong, and that may ask nobody but the server.

    Violations of the content security policy are errors of the browser's console too.
    """
    context = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 850})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda asked: wrong.extend(_elsewhere(asked.url, site)))
    yield opened
    context.close()
    expected = ("the server responded with a status of 4",)  # pages that say what is refused
    assert [one for one in wrong if not any(word in one for word in expected)] == []


def _elsewhere(url: str, site: Site) -> list[str]:
    parts = urlsplit(url)
    own = urlsplit(site.url).netloc
    return [] if parts.netloc == own or parts.scheme in ("data", "blob") else [f"asked {url}"]
