"""What `cep run` prints: detections on standard output, everything else on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cep.ports import DeadLetterRow
    from cep.render import Rendered

_PROGRESS_INTERVAL_SECONDS = 0.2
_DEAD_LETTERS_SHOWN = 5


class Format(StrEnum):
    JSONL = "jsonl"
    PRETTY = "pretty"


def say(sentence: str) -> None:
    print(f"cep: {sentence}", file=sys.stderr, flush=True)


def print_jsonl(detections: Sequence[Rendered]) -> None:
    """One JSON object a line and nothing else."""
    sys.stdout.buffer.write(b"".join(found.body + b"\n" for found in detections))
    sys.stdout.buffer.flush()


def print_pretty(detections: Sequence[Rendered]) -> None:
    from cep.values import iso_time

    for found in detections:
        detection = found.detection
        hidden = f"  (suppressed by {detection.suppressed_by})" if detection.suppressed_by else ""
        message = " ".join(detection.message.split())
        print(
            f"{iso_time(detection.at_ms)}  {detection.severity.upper():8}  "
            f"{detection.rule}: {_plain(message)}{hidden}"
        )
    sys.stdout.flush()


def _plain(text: str) -> str:
    """Event data must not control the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class DeadLetters:
    """Shows the first few reasons: without a store this is where they are seen."""

    def __init__(self) -> None:
        self._shown = 0

    def __call__(self, letters: Sequence[DeadLetterRow]) -> None:
        for letter in letters[: _DEAD_LETTERS_SHOWN - self._shown]:
            say(f"record {letter.position} is a dead letter: {_plain(letter.reason)}")
            self._shown += 1
            if self._shown == _DEAD_LETTERS_SHOWN:
                say("… further dead letters are counted only")


class Progress:
    """Events and events/s on one line of a terminal; silent when standard error is none.

    `done` gives the fraction of the source that is read, or None.
    """

    def __init__(self, done: Callable[[], float | None]) -> None:
        self._done = done
        self._active = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def __call__(self, records: int) -> None:
        now = time.monotonic()
        if not self._active or now - self._shown < _PROGRESS_INTERVAL_SECONDS:
            return
        self._shown = now
        done = self._done()
        percent = f"  {done:4.0%}" if done is not None else ""
        rate = records / (now - self._started)
        print(f"\r{records:,} events  {rate:,.0f}/s{percent}\x1b[K", end="", file=sys.stderr)

    def clear(self) -> None:
        if self._active:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
