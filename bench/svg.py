"""Small charts as SVG text: horizontal bars, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL_WIDTH = 84
RIGHT_WIDTH = 70  # for the number behind the longest bar
NUMBER_WIDTH = 44
BAR_HEIGHT = 11
ROW_GAP = 9
TOP_HEIGHT = 58
AXIS_HEIGHT = 24

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .value, .tick { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de }
  .bar0 { fill: #0969da } .bar1 { fill: #8c959f }
  .goal { stroke: #bc4c00; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .value, .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .bar0 { fill: #4493f8 } .bar1 { fill: #9198a1 }
    .goal { stroke: #f0883e }
  }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """`values` are of the series in turn, None where there is none; so is `goal`."""

    label: str
    values: tuple[float | None, ...]
    goal: float | None = None


def bars(title: str, series: Sequence[str], rows: Sequence[Row], *, logarithmic: bool) -> str:
    """One group of bars per row; a goal is a line across it."""
    shown = [v for row in rows for v in (*row.values, row.goal) if v]
    axis = _log_ticks(shown) if logarithmic else _linear_ticks(shown)
    group = BAR_HEIGHT * len(series)
    height = TOP_HEIGHT + len(rows) * (group + ROW_GAP) + AXIS_HEIGHT
    bottom = height - AXIS_HEIGHT

    def x(value: float) -> float:
        low, high = axis[0], axis[-1]
        if logarithmic:
            value, low, high = (math.log10(each) for each in (max(value, low), low, high))
        share = (value - low) / (high - low)
        return round(LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH - RIGHT_WIDTH), 1)

    parts = [f'<text class="title" x="8" y="20">{escape(title)}</text>', *_legend(series, rows)]
    for tick in axis:
        at = x(tick)
        parts.append(
            f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP_HEIGHT - 4}" y2="{bottom}"/>'
        )
        parts.append(_text("tick", at, bottom + 15, short(tick), "middle"))
    for number, row in enumerate(rows):
        top = TOP_HEIGHT + number * (group + ROW_GAP)
        parts.append(_text("", LABEL_WIDTH - 8, top + group / 2 + 4, row.label, "end"))
        at = None if row.goal is None else x(row.goal)
        for index, value in enumerate(row.values):
            if value is not None:
                parts += _bar(index, x(axis[0]), x(value), top + index * BAR_HEIGHT, value, at)
        if at is not None:
            parts.append(
                f'<line class="goal" x1="{at}" x2="{at}" y1="{top - 3}" y2="{top + group + 3}"/>'
            )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def short(value: float) -> str:
    """Three figures and a unit: 1.42 M, 970 k."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size * 0.9995:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def _bar(
    index: int, start: float, end: float, top: float, value: float, goal: float | None
) -> list[str]:
    width = max(1.0, round(end - start, 1))
    number = start + width + 5
    if goal is not None and number - 3 < goal < number + NUMBER_WIDTH:
        number = goal + 6  # not under the line
    return [
        f'<rect class="bar{index}" x="{start}" y="{top}" width="{width}" '
        f'height="{BAR_HEIGHT - 1}" rx="1.5"/>',
        _text("value", number, top + BAR_HEIGHT - 2, short(value), "start"),
    ]


def _legend(series: Sequence[str], rows: Sequence[Row]) -> list[str]:
    parts, at = [], 8.0
    for index, name in enumerate(series):
        parts.append(f'<rect class="bar{index}" x="{at}" y="33" width="10" height="10" rx="1.5"/>')
        parts.append(_text("", at + 15, 42, name, "start"))
        at += 34 + 6.6 * len(name)
    if any(row.goal is not None for row in rows):
        parts.append(f'<line class="goal" x1="{at + 5}" x2="{at + 5}" y1="31" y2="45"/>')
        parts.append(_text("", at + 13, 42, "goal", "start"))
    return parts


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    named = f'class="{kind}" ' if kind else ""
    return (
        f'<text {named}x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _log_ticks(values: Sequence[float]) -> list[float]:
    low = math.floor(math.log10(min(values, default=1)))
    high = math.ceil(math.log10(max(values, default=10)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _linear_ticks(values: Sequence[float]) -> list[float]:
    most = max(values, default=1)
    power = 10.0 ** math.floor(math.log10(most))
    step = next(power * part for part in (0.2, 0.5, 1, 2) if most <= 6 * power * part)
    return [step * i for i in range(math.ceil(most / step) + 1)]
