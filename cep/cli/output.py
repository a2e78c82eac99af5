"""What `cep run` prints: detections on standard output, everything else on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from cep import limits

if TYPE_CHECKING:
    from cep.detection import Detection
    from cep.ports import DeadLetterRow
    from cep.render import Rendered

_PROGRESS_INTERVAL_SECONDS = 0.2


class Format(StrEnum):
    JSONL = "jsonl"
    PRETTY = "pretty"


def say(sentence: str) -> None:
    print(f"cep: {sentence}", file=sys.stderr, flush=True)


def operator() -> str:
    """Who has called the program, as histories name them."""
    import getpass

    try:
        return f"command line:{getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name
        return "command line"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """The first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        print(line.rstrip())


def log_to_standard_error() -> None:
    """Structured logs stand beside what `say` says: standard output is for messages alone."""
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def print_lines(lines: bytes) -> None:
    """Whole lines and nothing else."""
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


def jsonl(detections: Sequence[Rendered]) -> bytes:
    """One JSON object a line."""
    return b"".join(found.body + b"\n" for found in detections)


def pretty(detections: Sequence[Rendered]) -> bytes:
    return "".join(_pretty(found.detection) for found in detections).encode("utf-8", "replace")


def _pretty(detection: Detection) -> str:
    from cep.values import iso_time

    hidden = f"  (suppressed by {detection.suppressed_by})" if detection.suppressed_by else ""
    message = " ".join(detection.message.split())
    return (
        f"{iso_time(detection.at_ms)}  {detection.severity.upper():8}  "
        f"{detection.rule}: {plain(message)}{hidden}\n"
    )


def plain(text: str) -> str:
    """Event data must not control the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class DeadLetters:
    """Shows the first few reasons: without a store this is where they are seen."""

    def __init__(self, *, several: bool) -> None:
        self._several = several  # partitions
        self._shown = 0

    def __call__(self, partition: str, letters: Sequence[DeadLetterRow]) -> None:
        of = f" of {partition}" if self._several else ""
        for letter in letters[: limits.DEAD_LETTERS_TOLD_MAX - self._shown]:
            say(f"record {letter.position}{of} is a dead letter: {plain(letter.reason)}")
            self._shown += 1
            if self._shown == limits.DEAD_LETTERS_TOLD_MAX:
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
