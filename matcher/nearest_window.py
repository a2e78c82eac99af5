"""How near the windows of a rule came to an alert: `when` at each look, as `matcher.nearest`.

    looked_at(rule, events, watermark_ms) = for each key, every look at a window, in order

The reference of windows is asked about a rule that always fires, so each look is one of its
matches; what the rule itself reports of them is asked of it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsl.model import Const, Kind, Rule, Type, WindowFire, WindowKind
from dsl.source import Span
from matcher.nearest import Key
from matcher.reference import END_OF_TIME_MS, ReferenceEvent
from matcher.reference_windows import WindowMatch, by_key, environment_over, window_matches
from matcher.unmet import Unmet, unmet

_ALWAYS = Const(Type(Kind.BOOL), True, Span("", 0, 0))


@dataclass(frozen=True, slots=True)
class Look:
    """`when` at one window: its parts that are not true; `fired` when there was an alert."""

    window: WindowMatch
    unmet: tuple[Unmet, ...]
    fired: bool

    @property
    def at_ms(self) -> int:
        return self.window.at_ms


@dataclass(frozen=True, slots=True)
class Looks:
    """All looks at the windows of one key, which has so many events in them."""

    key: Key
    looks: tuple[Look, ...]
    events: int

    @property
    def nearest(self) -> Look | None:
        """The look that came nearest without an alert, or else one that fired."""
        short = [look for look in self.looks if not look.fired]
        found = short or self.looks
        return min(found, key=lambda look: (len(look.unmet), _distance(look)), default=None)


def looked_at(
    rule: Rule,
    events: Sequence[ReferenceEvent],
    watermark_ms: int = END_OF_TIME_MS,
    only: Key | None = None,
) -> list[Looks]:
    """See the module head; `events` must be sorted by (ts, position)."""
    assert rule.window is not None
    ends = rule.window.shape.kind not in (WindowKind.SLIDING, WindowKind.COUNT)
    at_end = ends and rule.window.fire in (WindowFire.CLOSE, WindowFire.ONCE)
    fire = WindowFire.CLOSE if at_end else WindowFire.EACH
    always = replace(rule, window=replace(rule.window, when=_ALWAYS, fire=fire))
    fired = {_identity(match) for match in window_matches(rule, events, watermark_ms)}
    sources = by_key(rule, events)
    found: dict[Key, list[Look]] = {key: [] for key in sources if only is None or key == only}
    for match in window_matches(always, events, watermark_ms):
        if match.key in found:
            window = [event for _, event in match.window]
            parts = unmet(rule.window.when, environment_over(window, match.key))
            look = Look(match, parts, _identity(match) in fired)
            found[match.key].append(look)
    return [Looks(key, tuple(looks), len(sources[key])) for key, looks in found.items()]


def _identity(match: WindowMatch) -> tuple[object, ...]:
    return (match.key, match.at_ms, match.window[0][1].position, match.event.position)


def _distance(look: Look) -> tuple[float, int]:
    """How far the values of comparisons are apart, in all; then the latest is the nearest."""
    return sum(part.apart for part in look.unmet), -look.at_ms
