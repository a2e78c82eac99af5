"""The meaning of windows and derived fields as plain code: every window is a list of its events.

    window_matches(rule, events, watermark_ms) = the detections decided by then, in canonical order
    with_derived(events, derived)              = the events with their derived fields filled in

The companion of `matcher.reference`.  A detection binds the last event of its window; what its
output says of the others is computed here, in `values`, while the window is at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from dsl.model import WINDOW, Derived, Expr, FieldRef, Rule, WindowFire, WindowKind
from matcher.evaluate import Environment, evaluate
from matcher.reference import END_OF_TIME_MS, ReferenceEvent

Source: TypeAlias = tuple[int, ReferenceEvent]  # (step, event)
Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class WindowMatch:
    """`step` and `event` are the last of the window; `at_ms` its time, or the window's end."""

    rule: Rule
    key: Key
    at_ms: int
    timer: bool
    step: int
    event: ReferenceEvent
    window: tuple[Source, ...]

    @property
    def phase(self) -> int:
        """0 unless time ended the window; then 1, but -1 if events of that time are not in it."""
        assert self.rule.window is not None
        session = self.rule.window.shape.kind is WindowKind.SESSION
        return int(self.timer) * (1 if session else -1)

    @property
    def by(self) -> int:
        return self.event.position

    @property
    def bound(self) -> tuple[Source, ...]:
        return ((self.step, self.event),)

    @property
    def positions(self) -> tuple[tuple[int, int], ...]:
        return ((self.step, self.event.position),)

    def value(self, expr: Expr) -> object:
        """An expression over the window."""
        return value_of(expr, self.key, self.window)

    def order(self) -> tuple[object, ...]:
        return (self.at_ms, self.event.position, self.step)


def window_matches(
    rule: Rule, events: Sequence[ReferenceEvent], watermark_ms: int = END_OF_TIME_MS
) -> list[WindowMatch]:
    """All detections of a window rule over `events`, which must be sorted by (ts, position)."""
    assert rule.window is not None
    found: list[WindowMatch] = []
    for key, visible in by_key(rule, events).items():
        decided = _WAYS[rule.window.shape.kind](rule, key, visible, watermark_ms)
        if rule.window.fire is WindowFire.ONCE:
            found += list(decided)[:1]
        else:
            found += decided
    return sorted(found, key=WindowMatch.order)


def by_key(rule: Rule, events: Iterable[ReferenceEvent]) -> Mapping[Key, list[Source]]:
    """The events of each key, each with the first source that takes it."""
    split: dict[Key, list[Source]] = {}
    for event in events:
        keys: dict[Key, int] = {}
        for step in rule.steps:
            if step.event == event.event and holds(step.condition, event):
                keys.setdefault(tuple(event.record[path] for path in step.key), step.index)
        for key, step_index in keys.items():
            if None not in key:
                split.setdefault(key, []).append((step_index, event))
    return split


def holds(condition: Expr | None, event: ReferenceEvent) -> bool:
    return condition is None or evaluate(condition, _alone(event)) is True


def _alone(event: ReferenceEvent) -> Environment:
    return Environment(event.record, {}, (), event.rows, event.position)


# ----------------------------------------------------------------------------- kinds of windows


def _sliding(
    rule: Rule, key: Key, visible: Sequence[Source], watermark_ms: int
) -> Iterator[WindowMatch]:
    """At each event: what it finds of the window, and the window with it."""
    assert rule.window is not None
    size_ms = rule.window.shape.size_ms
    moments = []
    for place, (_, event) in enumerate(visible):
        since = [source for source in visible[:place] if source[1].ts > event.ts - size_ms]
        moments.append((since, [*since, visible[place]]))
    yield from _at_events(rule, key, moments)


def _count(
    rule: Rule, key: Key, visible: Sequence[Source], watermark_ms: int
) -> Iterator[WindowMatch]:
    """Only a window with all its events counts; `every` numbers them since it was last empty."""
    assert rule.window is not None
    shape = rule.window.shape
    assert shape.cap_ms is not None
    moments: list[tuple[list[Source], list[Source]]] = []
    held: list[Source] = []
    number = 0
    for source in visible:
        since = [each for each in held if each[1].ts > source[1].ts - shape.cap_ms]
        number = number + 1 if since else 1
        full = [*since, source][-shape.count :]
        shrunk = len(since) < len(held)
        held = full
        if len(full) == shape.count and (number - shape.count) % shape.every == 0:
            moments.append(([] if shrunk else moments[-1][1] if moments else [], full))
        elif shrunk:
            moments.append(([], []))
    yield from _at_events(rule, key, moments)


def _session(
    rule: Rule, key: Key, visible: Sequence[Source], watermark_ms: int
) -> Iterator[WindowMatch]:
    assert rule.window is not None
    shape = rule.window.shape
    sessions: list[list[Source]] = []

    def end_ms(session: list[Source]) -> int:
        first, last = session[0][1].ts, session[-1][1].ts
        end = last + shape.size_ms
        return end if shape.cap_ms is None else min(end, first + shape.cap_ms)

    for source in visible:
        if sessions and source[1].ts <= end_ms(sessions[-1]):
            sessions[-1].append(source)
        else:
            sessions.append([source])
    closed = [(end_ms(s), s) for s in sessions if end_ms(s) < watermark_ms]
    yield from _batches(rule, key, sessions, closed)


def _tumbling(
    rule: Rule, key: Key, visible: Sequence[Source], watermark_ms: int
) -> Iterator[WindowMatch]:
    assert rule.window is not None
    size_ms = rule.window.shape.size_ms
    windows: dict[int, list[Source]] = {}
    for source in visible:
        windows.setdefault((source[1].ts // size_ms + 1) * size_ms, []).append(source)
    closed = [(end, window) for end, window in windows.items() if end <= watermark_ms]
    yield from _batches(rule, key, windows.values(), closed)


def _hopping(
    rule: Rule, key: Key, visible: Sequence[Source], watermark_ms: int
) -> Iterator[WindowMatch]:
    assert rule.window is not None
    size_ms, every_ms = rule.window.shape.size_ms, rule.window.shape.every
    windows: dict[int, list[Source]] = {}
    for source in visible:
        start = source[1].ts // every_ms * every_ms
        while start + size_ms > source[1].ts:
            windows.setdefault(start + size_ms, []).append(source)
            start -= every_ms
    closed = [(end, windows[end]) for end in sorted(windows) if end <= watermark_ms]
    yield from _batches(rule, key, (), closed)


_WAYS = {
    WindowKind.SLIDING: _sliding,
    WindowKind.COUNT: _count,
    WindowKind.SESSION: _session,
    WindowKind.TUMBLING: _tumbling,
    WindowKind.HOPPING: _hopping,
}


# ----------------------------------------------------------------------------- ways of firing


def _batches(
    rule: Rule,
    key: Key,
    windows: Iterable[list[Source]],
    closed: Iterable[tuple[int, list[Source]]],
) -> Iterator[WindowMatch]:
    """Windows that end: judged at their end, or at each of their events."""
    assert rule.window is not None
    if rule.window.fire in (WindowFire.CLOSE, WindowFire.ONCE):
        for end_ms, window in closed:
            if is_true(rule, key, window):
                yield match_of(rule, key, window, end_ms, timer=True)
        return
    moments = [
        (window[:size], window[: size + 1]) for window in windows for size in range(len(window))
    ]
    yield from _at_events(rule, key, moments)


def _at_events(
    rule: Rule, key: Key, moments: Iterable[tuple[list[Source], list[Source]]]
) -> Iterator[WindowMatch]:
    """`moments` are what an event finds in its window, and the window with the event.

    An edge is a rise from false to true; an empty window is false.
    """
    assert rule.window is not None
    was_true = False
    for found, window in moments:
        rises = not (was_true and is_true(rule, key, found))
        was_true = is_true(rule, key, window)
        if was_true and (rises or rule.window.fire is not WindowFire.EDGE):
            yield match_of(rule, key, window, window[-1][1].ts, timer=False)


def is_true(rule: Rule, key: Key, window: Sequence[Source]) -> bool:
    assert rule.window is not None
    return bool(window) and value_of(rule.window.when, key, window) is True


def value_of(expr: Expr, key: Key, window: Sequence[Source]) -> object:
    return evaluate(expr, environment_over([event for _, event in window], key))


def environment_over(events: Sequence[ReferenceEvent], key: Key) -> Environment:
    """The events together; what no event in particular asks of a table is as of the newest."""
    records, positions = [e.record for e in events], [e.position for e in events]
    rows, newest = (events[-1].rows, events[-1].position) if events else (None, 0)
    return Environment(
        None, {WINDOW: records}, key, rows, positions={WINDOW: positions}, last_position=newest
    )


def match_of(
    rule: Rule, key: Key, window: Sequence[Source], at_ms: int, timer: bool
) -> WindowMatch:
    step, event = window[-1]
    return WindowMatch(rule, key, at_ms, timer, step, event, tuple(window))


# ----------------------------------------------------------------------------- derived fields


def with_derived(
    events: Sequence[ReferenceEvent], fields: Iterable[tuple[str, FieldRef]]
) -> list[ReferenceEvent]:
    """`events`, in order, with every (event type, derived field) of `fields` in their records."""
    wanted = list(fields)
    filled = []
    for place, event in enumerate(events):
        found = {
            ref.path: _derived(ref.derived, event, events[:place])
            for name, ref in wanted
            if name == event.event and ref.derived is not None
        }
        filled.append(replace(event, record={**event.record, **found}) if found else event)
    return filled


def _derived(derived: Derived, reading: ReferenceEvent, before: Sequence[ReferenceEvent]) -> object:
    shape = derived.shape
    span_ms = shape.size_ms if shape.kind is WindowKind.SLIDING else shape.cap_ms
    assert span_ms is not None
    key = _key(derived.reads, reading)
    if None in key:
        return None
    window = [
        event
        for event in before
        if event.event == derived.event
        and event.ts > reading.ts - span_ms
        and holds(derived.condition, event)
        and _key(derived.key, event) == key
    ]
    if shape.kind is WindowKind.COUNT:
        window = window[-shape.count :]
    if derived.aggregate is None:
        return not window
    return evaluate(derived.aggregate, environment_over(window, ()))


def _key(parts: Sequence[Expr], event: ReferenceEvent) -> Key:
    return tuple(evaluate(part, _alone(event)) for part in parts)
