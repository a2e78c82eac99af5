"""Source text and places in it: offsets to line and column, and the caret under a place."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from dsl import limits


class Span(NamedTuple):
    """Half-open range of character offsets in the source named `path`."""

    path: str
    start: int
    end: int


@dataclass(slots=True)
class Source:
    """One file's text; lines and columns count from 1, columns in characters."""

    path: str
    text: str
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._starts = [0] + [i + 1 for i, char in enumerate(self.text) if char == "\n"]

    def line_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end]

    def caret(self, span: Span) -> str:
        """The line of `span` with `^^^` under the part of it on that line."""
        number, column = self.line_column(span.start)
        line = self.line(number)
        width = max(1, min(span.end - span.start, len(line) - column + 1))
        before, behind = line[: column - 1], line[column - 1 :]
        if len(line) > limits.LINE_SHOWN_MAX:  # show the part around the place
            shown = limits.LINE_SHOWN_MAX // 2
            before = f"…{before[-shown:]}" if len(before) > shown else before
            behind = f"{behind[:shown]}…" if len(behind) > shown else behind
            width = min(width, len(behind))
        pad = "".join("\t" if char == "\t" else " " for char in before)
        return f"{before}{behind}\n{pad}{'^' * width}"
