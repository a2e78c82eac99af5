"""The meaning of windows whose detections can be resolved, as plain code.

    window_findings(rule, events, watermark_ms) = (matches, resolutions), in canonical order

All that happens to a key is put in one list: events that resolve, events that change a window or
find one, instants at which events leave a window, ends of windows.  Then each is judged in turn.
The companion of `matcher.reference_windows`, which has the rules without `resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dsl.model import Rule, WindowFire, WindowKind
from matcher.reference import END_OF_TIME_MS, ReferenceEvent
from matcher.reference_policy import ReferenceResolution
from matcher.reference_windows import (
    Key,
    Source,
    WindowMatch,
    by_key,
    holds,
    is_true,
    match_of,
    value_of,
    window_matches,
)


@dataclass(frozen=True, slots=True)
class Look:
    """A window at a moment: at an event, or (with a `phase` other than 0) because time passes.

    `found` is what the event found of the window; `fires` whether `when` may fire here.  An empty
    window is over; so is one that an event has left, of a window of a number of events.
    """

    at_ms: int
    phase: int
    newest: ReferenceEvent
    window: Sequence[Source]
    found: Sequence[Source] = ()
    fires: bool = True

    @property
    def order(self) -> tuple[int, int, int]:
        return self.at_ms, self.phase, 0 if self.phase else self.newest.position


@dataclass(frozen=True, slots=True)
class WindowFindings:
    matches: list[WindowMatch] = field(default_factory=list)
    resolutions: list[ReferenceResolution] = field(default_factory=list)


def window_findings(
    rule: Rule, events: Sequence[ReferenceEvent], watermark_ms: int = END_OF_TIME_MS
) -> WindowFindings:
    """Everything that a window rule finds in `events`, sorted by (ts, position)."""
    if rule.resolve_when is None and not rule.policy.resolve:
        return WindowFindings(window_matches(rule, events, watermark_ms))
    found = WindowFindings()
    for key, visible in by_key(rule, events).items():
        signals = [event for event in events if _resolves(rule, key, event)]
        looks = [
            look for look in _looks(rule, visible) if look.at_ms < watermark_ms + (look.phase < 1)
        ]
        _judge(rule, key, looks, signals, found)
    found.matches.sort(key=WindowMatch.order)
    found.resolutions.sort(key=ReferenceResolution.order)
    return found


def _resolves(rule: Rule, key: Key, event: ReferenceEvent) -> bool:
    return any(
        symbol.event == event.event
        and holds(symbol.condition, event)
        and tuple(event.record[path] for path in symbol.key) == key
        for symbol in rule.policy.resolve
    )


def _judge(
    rule: Rule,
    key: Key,
    looks: Sequence[Look],
    signals: Sequence[ReferenceEvent],
    found: WindowFindings,
) -> None:
    """What the key's looks and signals come to; a signal comes before the look of its event."""
    assert rule.window is not None
    fire = rule.window.fire
    is_open = was_true = False
    moments: list[tuple[tuple[int, int, int], bool, int]] = [
        *((look.order, True, number) for number, look in enumerate(looks)),
        *(((event.ts, 0, event.position), False, n) for n, event in enumerate(signals)),
    ]
    for (at_ms, phase, _), is_look, number in sorted(moments):
        if not is_look:
            if is_open:
                _resolve(found, key, at_ms, 0, signals[number])
            is_open = False
            continue
        look = looks[number]
        holds_now = is_true(rule, key, look.window)
        if look.fires:
            was_true = was_true and is_true(rule, key, look.found)
            rises = holds_now and not was_true
            free = not is_open or fire not in (WindowFire.EDGE, WindowFire.ONCE)
            if free and (rises if fire is WindowFire.EDGE else holds_now):
                found.matches.append(match_of(rule, key, look.window, at_ms, timer=phase != 0))
                is_open = True
            was_true = holds_now
        if is_open and not holds_now and _is_over(rule, key, look):
            _resolve(found, key, at_ms, phase, look.newest)
            is_open = False


def _is_over(rule: Rule, key: Key, look: Look) -> bool:
    """What is open is, if `when` does not hold; only looked at for `resolve when`."""
    if rule.resolve_when is None:
        return False
    return not look.window or value_of(rule.resolve_when, key, look.window) is True


def _resolve(
    found: WindowFindings, key: Key, at_ms: int, phase: int, event: ReferenceEvent
) -> None:
    found.resolutions.append(ReferenceResolution(key, at_ms, event.position, phase))


# ----------------------------------------------------------------------------- looks


def _looks(rule: Rule, visible: Sequence[Source]) -> Iterable[Look]:
    assert rule.window is not None
    kind, fire = rule.window.shape.kind, rule.window.fire
    at_events = fire in (WindowFire.EDGE, WindowFire.EACH)
    match kind:
        case WindowKind.SLIDING:
            return _sliding(rule, visible)
        case WindowKind.COUNT:
            return _count(rule, visible)
        case WindowKind.SESSION:
            sessions = _sessions(rule, visible)
            return _within(sessions, 1) if at_events else _ends(sessions, 1)
        case WindowKind.TUMBLING if at_events:
            return _within(list(_hops(rule, visible).items()), -1)
    return _hopping(rule, visible)


def _sliding(rule: Rule, visible: Sequence[Source]) -> Iterator[Look]:
    assert rule.window is not None
    size_ms = rule.window.shape.size_ms
    for at_ms in {event.ts + size_ms for _, event in visible}:
        before = [source for source in visible if source[1].ts < at_ms]
        left = [source for source in before if source[1].ts > at_ms - size_ms]
        yield Look(at_ms, -1, before[-1][1], left, fires=False)
    for place, (_, event) in enumerate(visible):
        found = [source for source in visible[:place] if source[1].ts > event.ts - size_ms]
        yield Look(event.ts, 0, event, [*found, visible[place]], found)


def _count(rule: Rule, visible: Sequence[Source]) -> Iterator[Look]:
    """The window is looked at when it is full, and every so many events; else it is none."""
    assert rule.window is not None
    shape = rule.window.shape
    cap_ms = shape.cap_ms or 0
    held: list[Source] = []
    looked_at: Sequence[Source] = ()
    number = 0
    following = [event.ts for _, event in visible[1:]]
    for source, until_ms in zip(visible, [*following, END_OF_TIME_MS], strict=True):
        number = number + 1 if held else 1
        held = [*held, source][-shape.count :]
        if len(held) == shape.count and (number - shape.count) % shape.every == 0:
            yield Look(source[1].ts, 0, source[1], held, looked_at)
            looked_at = held
        for at_ms in sorted({event.ts + cap_ms for _, event in held}):
            if at_ms <= until_ms:
                yield Look(at_ms, -1, source[1], (), fires=False)
                held = [each for each in held if each[1].ts > at_ms - cap_ms]
                looked_at = ()


def _sessions(rule: Rule, visible: Sequence[Source]) -> list[tuple[int, list[Source]]]:
    """(last ms at which an event would still belong to it, events) of each session."""
    assert rule.window is not None
    shape = rule.window.shape
    sessions: list[tuple[int, list[Source]]] = []
    for source in visible:
        ts = source[1].ts
        goes_on = bool(sessions) and ts <= sessions[-1][0]
        session = [*sessions.pop()[1], source] if goes_on else [source]
        end_ms = ts + shape.size_ms
        if shape.cap_ms is not None:
            end_ms = min(end_ms, session[0][1].ts + shape.cap_ms)
        sessions.append((end_ms, session))
    return sessions


def _hops(rule: Rule, visible: Sequence[Source]) -> dict[int, list[Source]]:
    """The windows with events by their ends."""
    assert rule.window is not None
    size_ms, every_ms = rule.window.shape.size_ms, rule.window.shape.every
    windows: dict[int, list[Source]] = {}
    for source in visible:
        start = source[1].ts // every_ms * every_ms
        while start + size_ms > source[1].ts:
            windows.setdefault(start + size_ms, []).append(source)
            start -= every_ms
    return windows


def _within(windows: Sequence[tuple[int, list[Source]]], phase: int) -> Iterator[Look]:
    """Windows that are looked at by event, and are empty when they have ended."""
    for end_ms, window in windows:
        for place, (_, event) in enumerate(window):
            yield Look(event.ts, 0, event, window[: place + 1], window[:place])
        yield Look(end_ms, phase, window[-1][1], (), fires=False)


def _ends(windows: Iterable[tuple[int, list[Source]]], phase: int) -> Iterator[Look]:
    for end_ms, window in windows:
        yield Look(end_ms, phase, window[-1][1], window)


def _hopping(rule: Rule, visible: Sequence[Source]) -> Iterator[Look]:
    """Windows that are looked at when they end, and the first without events behind each."""
    assert rule.window is not None
    windows, every_ms = _hops(rule, visible), rule.window.shape.every
    yield from _ends(windows.items(), -1)
    for end_ms, window in windows.items():
        if end_ms + every_ms not in windows:
            yield Look(end_ms + every_ms, -1, window[-1][1], (), fires=False)
