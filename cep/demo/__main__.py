"""`python -m cep.demo [--seconds N] [--speed X] [--log URL] [--store URL] …`: see `cep.demo`.

Starts `cep serve` on the shipped rule packs with destinations that are the demo's own receivers,
plays the scenario, and exits 0 only if everything planted was found and delivered.  Log and store
are a file of its own, or the servers it is told; there it plays into a topic of its own.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from rich.console import Console

from cep.demo.play import Pace, play
from cep.demo.receivers import MailSink, WebhookReceiver, free_port
from cep.demo.report import Report
from cep.demo.scenario import SECONDS_MAX, SECONDS_MIN, Scenario, scenario
from cep.log import open_topic, takes_events

ROOT = Path(__file__).parents[2]
RULES = ("rules/fraud", "rules/monitoring", "cep/demo/outage.cep")
SECRET_VARIABLE = "CEP_DEMO_WEBHOOK_SECRET"
START_SECONDS = 400.0  # the first start compiles the matcher
DELIVERY_SECONDS = 15.0
STOP_SECONDS = 15.0
PICTURE: dict[str, Any] = {"record": True, "width": 110, "force_terminal": True}


@dataclass(frozen=True, slots=True)
class Place:
    """Where events are played to, and where everything is kept."""

    log: str
    store: str


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    console = Console(highlight=False, **(PICTURE if options.picture else {}))
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("demo.db*"):
        old.unlink()
    place = _place(options)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    planned = scenario(options.seconds, options.seed)
    with WebhookReceiver(secret) as webhook, MailSink() as mail:
        destinations = folder / "destinations.toml"
        destinations.write_text(_destinations(webhook, mail))
        console.print(
            f"[bold]{len(planned.happenings):,} events in {options.seconds} s "
            f"(speed {options.speed:g}), {len(planned.incidents)} incidents planted.[/] "
            f"Webhook receiver {webhook.url}, mail sink 127.0.0.1:{mail.port}.\n"
            "Starting the engine (the first start on a machine compiles the matcher) …"
        )
        with _serving(place, folder, destinations, secret):
            console.print(
                "The engine is up. What it finds, as it arrives by webhook "
                "(events may be 2 s late, so it waits that long):\n"
            )
            pace = Pace.starting_now(options.seconds, options.speed)
            report = Report(planned.incidents, pace, webhook, mail, console)
            _play_and_show(planned, pace, place.log, report)
    good = report.close()
    kept = place.store if place.log == place.store else f"{place.log} and {place.store}"
    console.print(f"The log and everything detected: {kept}")
    if options.picture:
        options.picture.write_text(_picture(console))
    return 0 if good else 1


def _place(options: argparse.Namespace) -> Place:
    store = options.store or str(options.folder / "demo.db")
    log = options.log or store
    if options.log or options.store:
        address, _, topic = log.partition("#")
        log = f"{address}#{topic or 'demo-' + secrets.token_hex(4)}"
    return Place(log, store)


def _play_and_show(planned: Scenario, pace: Pace, log: str, report: Report) -> None:
    """Shows alerts while events are played, and goes on until all arrived or time is up."""
    with closing(open_topic(log)) as topic:
        play(planned, pace, topic, report.show_new)
    deadline = time.monotonic() + DELIVERY_SECONDS
    while not report.complete() and time.monotonic() < deadline:
        report.show_new()
        time.sleep(0.1)
    report.show_new()


def _picture(console: Console) -> str:
    """The output as SVG that needs nothing from the network."""
    drawn = console.export_svg(title="make demo")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cep.demo", description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=60, help=f"of event time, {SECONDS_MIN} to {SECONDS_MAX}"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="1 is real time; 10 takes a tenth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("demo-data"))
    parser.add_argument("--log", metavar="URL", help="redis://… or app.db; default: the store")
    parser.add_argument("--store", metavar="URL", help="postgresql://… or app.db")
    parser.add_argument("--picture", type=Path, help="also draw the output as this SVG file")
    options = parser.parse_args(argv)
    if not SECONDS_MIN <= options.seconds <= SECONDS_MAX or options.speed < 1:
        parser.error(f"--seconds must be {SECONDS_MIN} to {SECONDS_MAX}, --speed at least 1")
    if options.log and not takes_events(options.log):
        parser.error(f"--log must be redis://… or app.db, not {options.log!r}")
    return options


def _destinations(webhook: WebhookReceiver, mail: MailSink) -> str:
    return f"""\
default = ["desk", "oncall"]

[network]
allow = ["127.0.0.0/8"]
ports = [{webhook.port}]

[destinations.desk]
type = "webhook"
url = "{webhook.url}"
secrets = [{{ env = "{SECRET_VARIABLE}" }}]

[destinations.oncall]
type = "smtp"
host = "127.0.0.1"
port = {mail.port}
tls = "none"
from = "cep@example.com"
to = ["oncall@example.com"]
"""


@contextmanager
def _serving(place: Place, folder: Path, destinations: Path, secret: str) -> Iterator[None]:
    """`cep serve` as a process of its own, ready; told to stop at the end."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("cep")),
        "serve",
        *(str(ROOT / rules) for rules in RULES),
        "--log",
        place.log,
        "--store",
        place.store,
        "--destinations",
        str(destinations),
        "--port",
        str(port),
    ]
    with (folder / "serve.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | {SECRET_VARIABLE: secret},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(process, port, folder / "serve.log")
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"cep serve ended with {process.returncode}:\n{output.read_text()}")
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"cep serve was not ready after {START_SECONDS:.0f} s; see {output}")


if __name__ == "__main__":
    sys.exit(main())
