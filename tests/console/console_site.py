"""The server that the tests of the console look at, and what they do to it by requests."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BASE_MS = 1_772_355_600_000


@dataclass
class Site:
    """The server and what it was told to tell."""

    url: str
    received: list[bytes] = field(default_factory=list)
    _second: int = 0

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def pay(self, card: str, *amounts: float, note: str | None = None) -> None:
        """Payments a second apart, and one of another card that moves time on."""
        events = []
        for amount in (*amounts, None):
            self._second += 1
            who, amount = (card, amount) if amount is not None else ("clock", 50)
            ts = BASE_MS + self._second * 1000
            events.append(
                {"type": "Payment", "ts": ts, "card": who, "amount": amount, "note": note}
            )
        request = urllib.request.Request(
            f"{self.url}/api/v1/events",
            json.dumps(events).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["accepted"] == len(events)

    def alert_of(self, card: str) -> dict[str, Any]:
        """The alert of a card, as soon as it is there."""

        def look() -> dict[str, Any] | None:
            items = self.get("/api/v1/alerts?limit=500")["items"]
            return next((one for one in items if one["key"] == {"card": card}), None)

        return wait_for(look)


def wait_for(look: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise TimeoutError
