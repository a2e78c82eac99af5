"""The evidence of detections drawn on a time line: a lane for each step, a mark for each event.

Geometry only; `templates/timeline.html` makes SVG of it, where everything from events is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.console.words import parsed

EVENTS_DRAWN = 200
WIDTH, LABEL_WIDTH, LANE_HEIGHT, TOP, RIGHT = 1000, 190, 34, 28, 24
TICKS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000),
    *(60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000),
    *(21_600_000, 43_200_000, 86_400_000, 172_800_000, 604_800_000, 2_592_000_000),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One bound event; `at_ms` is None when its time cannot be told from here."""

    number: int
    step: str
    type: str
    at_ms: int | None
    position: int | None
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The events of detections, each once, oldest first; `left_out` counts those beyond."""

    pieces: tuple[Piece, ...]
    detected_ms: tuple[int, ...]
    left_out: int

    @staticmethod
    def of(
        detections: Sequence[Mapping[str, Any]], time_fields: Mapping[str, list[str] | None]
    ) -> Evidence:
        """From detections as the API has them."""
        bound: dict[tuple[Any, ...], tuple[int | None, Mapping[str, Any]]] = {}
        for detection in detections:
            for one in detection.get("events", ()):
                at_ms = event_time(one["event"], time_fields)
                place = one["step"], one["position"], one.get("derived_from"), at_ms
                bound.setdefault(place, (at_ms, one))
        known = sorted(
            bound.values(),
            key=lambda found: (found[0] is None, found[0] or 0, found[1]["position"] or 0),
        )
        pieces = tuple(
            Piece(
                number,
                one["step"],
                str(one["event"].get("type", "")),
                at_ms,
                one["position"],
                one["event"],
            )
            for number, (at_ms, one) in enumerate(known[:EVENTS_DRAWN], 1)
        )
        detected = {at for one in detections if (at := _ms(one.get("at"))) is not None}
        return Evidence(pieces, tuple(sorted(detected)), max(0, len(known) - EVENTS_DRAWN))


def event_time(event: Mapping[str, Any], time_fields: Mapping[str, list[str] | None]) -> int | None:
    """ms since the epoch, from the declared field, also of a CloudEvents envelope."""
    path = time_fields.get(str(event.get("type"))) or ["ts"]
    value: Any = event
    if "specversion" in event and isinstance(event.get("data"), dict):
        value = {path[0]: event.get("time"), **event["data"]}
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return _ms(value)


def _ms(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**53 else None
    found = parsed(value)
    return None if found is None else round((found - _EPOCH).total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Mark:
    piece: Piece
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    label: str
    y: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Positions in the units of the drawing."""

    height: int
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    detected: tuple[Tick, ...]
    spans: str

    width: int = WIDTH
    left: int = LABEL_WIDTH
    top: int = TOP


def timeline(evidence: Evidence) -> Timeline | None:
    """None when there is no event whose time is known."""
    timed = [piece for piece in evidence.pieces if piece.at_ms is not None]
    if not timed:
        return None
    moments = [piece.at_ms for piece in timed if piece.at_ms is not None]
    first = min(*moments, *evidence.detected_ms, moments[0])
    last = max(*moments, *evidence.detected_ms, moments[0])
    room = WIDTH - LABEL_WIDTH - RIGHT - 16

    def x(at_ms: int) -> float:
        share = (at_ms - first) / (last - first) if last > first else 0.5
        return round(LABEL_WIDTH + 16 + share * room, 1)

    steps = list(dict.fromkeys(piece.step for piece in timed))
    lanes = [
        Lane(step, TOP + LANE_HEIGHT * index + LANE_HEIGHT / 2) for index, step in enumerate(steps)
    ]
    height_of = {lane.label: lane.y for lane in lanes}
    marks = [
        Mark(piece, x(piece.at_ms), height_of[piece.step])
        for piece in timed
        if piece.at_ms is not None
    ]
    return Timeline(
        height=TOP + LANE_HEIGHT * len(lanes) + 30,
        lanes=tuple(lanes),
        marks=tuple(marks),
        ticks=tuple(Tick(x(at), _time(at, first, last)) for at in _ticks(first, last)),
        detected=tuple(Tick(x(at), _time(at, at, at)) for at in evidence.detected_ms),
        spans=_time(first, first, first) + " – " + _time(last, last, last),
    )


def _ticks(first: int, last: int) -> list[int]:
    """Round moments, about `TICKS` of them."""
    span = max(1, last - first)
    step = next((one for one in _STEPS_MS if span / one <= TICKS), _STEPS_MS[-1])
    begin = -(-first // step) * step
    count = min(4 * TICKS, (last - begin) // step + 1)
    return [begin + step * index for index in range(count)]


def _time(at_ms: int, first: int, last: int) -> str:
    try:
        moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    if last - first >= 2 * 86_400_000:
        return moment.strftime("%Y-%m-%d")
    with_ms = at_ms % 1000 and last - first < 10_000
    return moment.strftime("%H:%M:%S") + (f".{at_ms % 1000:03d}" if with_ms else "")
