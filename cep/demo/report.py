"""What the demo shows: a line per alert as it arrives, and at the end planted against found."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cep.demo.play import Pace
from cep.demo.receivers import MailSink, Received, WebhookReceiver
from cep.demo.scenario import Incident

INDENT = 9  # of a message, under its rule's severity
STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}


class Report:
    """Watches both receivers; `expected` are the planted incidents."""

    def __init__(
        self,
        expected: tuple[Incident, ...],
        pace: Pace,
        webhook: WebhookReceiver,
        mail: MailSink,
        console: Console,
    ) -> None:
        self._expected = expected
        self._pace = pace
        self._webhook = webhook
        self._mail = mail
        self._console = console
        self._shown: set[str] = set()

    def show_new(self) -> None:
        """Prints what has arrived by webhook since the last call."""
        for detection_id, received in list(self._webhook.received.items()):
            if detection_id not in self._shown:
                self._shown.add(detection_id)
                self._print(received)

    def complete(self) -> bool:
        """Whether every incident was told to both receivers, exactly once, and nothing else."""
        return self._verdict()[1]

    def close(self) -> bool:
        """Prints the table of planted and found, and says whether they agree."""
        table, good = self._verdict()
        self._console.print()
        self._console.print(table)
        signed = "all signatures verified" if not self._webhook.refused else "not all signed"
        hooks, mails = len(self._webhook.received), len(self._mail.received)
        self._console.print(f"{hooks} webhooks ({signed}), {mails} e-mails.")
        self._console.print(
            "[bold green]Everything planted was found and delivered.[/]"
            if good
            else "[bold red]Planted and found differ.[/]"
        )
        return good

    def _print(self, received: Received) -> None:
        body = received.body
        severity = str(body["severity"])
        after = received.at - self._pace.wall_time(_event_time(body))
        line = Text()
        line.append(f"{self._pace.second_now():5.1f} s  ", style="dim")
        line.append(f"{severity:<9}", style=STYLES.get(severity, ""))
        line.append(f"{body['rule']:<22}", style="bold")
        line.append(f"told {after:.1f} s after the event, signature verified", style="dim")
        self._console.print(line)
        self._console.print(Padding(Text(received.text), (0, 0, 0, INDENT)))

    def _verdict(self) -> tuple[Table, bool]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for detection_id, received in list(self._webhook.received.items()):
            found[str(received.body["rule"]), str(received.body["key"])].append(detection_id)
        table = Table(title="Planted and found", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("second", "planted", "rule", "found", "webhook", "e-mail"):
            table.add_column(heading, no_wrap=heading != "planted")
        good = self._webhook.refused == 0
        for incident in self._expected:
            ids = found.pop((incident.rule, str(incident.key)), [])
            mailed = [detection_id for detection_id in ids if detection_id in self._mail.received]
            good = good and len(ids) == 1 and len(mailed) == 1
            table.add_row(
                f"{incident.begin:.1f}",
                incident.story,
                incident.rule,
                _mark(ids),
                "signed" if ids else "-",
                "yes" if mailed else "-",
            )
        for (rule, key), ids in found.items():
            good = False
            table.add_row("-", f"nothing planted for {key}", rule, f"{len(ids)}", "", "")
        return table, good


def _mark(ids: list[str]) -> str:
    return "yes" if len(ids) == 1 else ("no" if not ids else f"{len(ids)} times")


def _event_time(body: dict[str, object]) -> float:
    return datetime.fromisoformat(str(body["at"]).replace("Z", "+00:00")).timestamp()
