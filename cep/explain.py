"""Says how near a rule came to a match, in lines of text: for failed tests and `cep explain`.

    reached card="c1": step 1 of 2, probe: 3 events, at 0s, 20s and 40s
      at 60s Payment is no hit: amount > 100 is false (amount = 90)
      within 10m: over at 10m

What happened is found by `matcher.nearest` and `matcher.nearest_window`; here are only the words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cep.expression_text import expression_text, literal_text
from dsl.model import Rule, leading_silence
from matcher.nearest import (
    Candidate,
    Ended,
    Explored,
    Key,
    Miss,
    Passed,
    Why,
    explored,
)
from matcher.nearest_window import Look, Looks, looked_at
from matcher.pattern_parts import loop_ends, outermost
from matcher.reference import ReferenceEvent
from matcher.reference_policy import KeyRow
from matcher.shown import duration_text
from matcher.unmet import Unmet

Clock = Callable[[int], str]
"""A time in ms as people are told it."""

PASSED_SHOWN = 4
"""Events that were passed over, told with their reasons; the last ones."""

VALUES_SHOWN = 6
TIMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of one key; `order` is greater the nearer it came to a match."""

    key: Key
    order: tuple[object, ...]
    lines: tuple[str, ...]


def explain(
    rule: Rule,
    events: Sequence[ReferenceEvent],
    watermark_ms: int,
    clock: Clock,
    only: Key | None = None,
    rows: Sequence[KeyRow] = (),
) -> list[Told]:
    """For each key (for `only` one), how near it came to a match; the nearest key comes first.

    `events` must be sorted by (ts, position), and have their derived fields; `rows` are those that
    the rule takes its keys from.
    """
    words = _Words(rule, clock)
    if rule.window is not None:
        looks = looked_at(rule, events, watermark_ms, only)
        told = [words.of_window(found) for found in looks]
    else:
        keys = explored(rule, events, watermark_ms, only, rows)
        told = [words.of_pattern(found, watermark_ms) for found in keys]
    return sorted(told, key=lambda each: each.order, reverse=True)


def unmet_text(rule: Rule, parts: Sequence[Unmet]) -> str:
    """The parts of a condition that are not true, with the values they read."""
    return "; ".join(_unmet_text(rule, part) for part in parts)


def _unmet_text(rule: Rule, part: Unmet) -> str:
    condition = expression_text(rule, part.part)
    outcome = "false" if part.value is False else "null"
    values = [
        f"{name} = {literal_text(expr.type, value)}"
        for expr, value in part.read[:VALUES_SHOWN]
        if (name := expression_text(rule, expr)) != condition
    ]
    if len(part.read) > VALUES_SHOWN:
        values.append("…")
    return f"{condition} is {outcome}" + (f" ({', '.join(values)})" if values else "")


class _Words:
    """Says things of one rule."""

    def __init__(self, rule: Rule, clock: Clock) -> None:
        self._rule = rule
        self._clock = clock
        self._untils = loop_ends(rule.pattern)

    # ---- patterns

    def of_pattern(self, found: Explored, watermark_ms: int) -> Told:
        nearest = found.nearest
        if nearest is not None and nearest.ended is Ended.MATCHED:
            nearest = None
        matched = [each for each in found.candidates if each.ended is Ended.MATCHED]
        lines: list[str] = []
        order: tuple[object, ...] = (0, False, 0, 0, 0)
        if nearest is not None:
            order = (1, *nearest.order())
            lines = [f"{self._key(found.key)} {self._reached(nearest)}"]
            lines += [f"  {line}" for line in self._passed(nearest.passed, nearest.passed_count)]
            lines += [f"  {line}" for line in self._ended(nearest)]
        elif matched:
            at = self._times([each.ended_ms for each in matched if each.ended_ms is not None])
            lines = [f"{self._key(found.key)} matched {at}, and nothing else began"]
        else:
            lines = [f"{self._key(found.key)} {self._never_began()}"]
            lines += [f"  {line}" for line in self._passed(found.starts, 0)]
            lines += [f"  {line}" for line in self._silence(found, watermark_ms)]
        if found.left_out:
            lines.append(f"  {found.left_out:,} further partial matches are not told of")
        return Told(found.key, order, tuple(lines))

    def _never_began(self) -> str:
        silence, pattern = leading_silence(self._rule.pattern)
        return "began no match" if pattern is not None or silence is None else "was not silent"

    def _reached(self, found: Candidate) -> str:
        parts = outermost(self._rule.pattern)
        last_step = found.bound[-1][0]
        part = next((n for n, steps in enumerate(parts, 1) if last_step in steps), 1)
        steps = [step for step, _ in found.bound]
        pieces = []
        for step in dict.fromkeys(steps):
            times = [event.ts for number, event in found.bound if number == step]
            pieces.append(f"{self._label(step)} {self._times(times)}")
        return f"reached step {part} of {len(parts)}: {', '.join(pieces)}"

    def _passed(self, passed: Sequence[Passed], count: int) -> list[str]:
        """The last events that were passed over and could have been a step."""
        telling = [each for each in passed if each.tells]
        shown = telling[-PASSED_SHOWN:]
        lines = [line for each in shown for line in self._miss_lines(each)]
        others = count - len(shown)
        if others > 0:
            lines.insert(0, f"{_events(others, 'other ' if shown else '')} passed over")
        return lines

    def _miss_lines(self, passed: Passed) -> list[str]:
        event = f"at {self._clock(passed.event.ts)} {passed.event.event}"
        return [
            f"{event} {self._reason(miss)}"
            for miss in passed.misses
            if miss.why is not Why.OTHER_TYPE
        ]

    def _reason(self, miss: Miss) -> str:
        label = self._label(miss.step)
        match miss.why:
            case Why.UNMET:
                return f"is no {label}: {unmet_text(self._rule, miss.unmet)}"
            case Why.TOO_SOON:
                return f"came too soon for {label}: {self._gap(miss)} or more"
            case Why.TOO_LATE:
                return f"came too late for {label}: {self._gap(miss)} at most"
            case Why.FORBIDDEN if miss.step in self._untils:
                return f"ended the loop (until {label})"
            case Why.FORBIDDEN:
                return f"must not come here (not {label})"
            case Why.NOT_QUIET if miss.gap_ms is None:
                return f"came before the silence could begin, so it is no {label}"
            case Why.NOT_QUIET:
                gap, least = duration_text(miss.gap_ms or 0), duration_text(miss.limit_ms or 0)
                return f"is no {label}: {gap} of silence before it, and more than {least} needed"
            case Why.OTHER_KEY:
                return f"has another key for {label}"
            case Why.PASSED_BY:
                return f"is too late for {label}: an event was in between"
            case Why.BUSY:
                return f"began nothing: a partial match was pending (runs {self._rule.policy.runs})"
            case Why.GAVE_WAY:
                return f"fits {label}, but was not taken for it"
            case Why.OTHER_TYPE:
                return f"is no {label}"

    def _gap(self, miss: Miss) -> str:
        gap, limit = (
            "?" if ms is None else duration_text(ms) for ms in (miss.gap_ms, miss.limit_ms)
        )
        return f"after {gap}, allowed is {limit}"

    def _ended(self, found: Candidate) -> list[str]:
        lines = []
        if found.rejected:
            lines.append(f"where: {unmet_text(self._rule, found.rejected)}")
        at = "" if found.ended_ms is None else self._clock(found.ended_ms)
        by = "" if found.by is None else found.by.event
        match found.ended:
            case Ended.WITHIN:
                within = duration_text(self._rule.within_ms or 0)
                waiting = self._waiting_for(found)
                lines.append(f"within {within} ran out at {at}{waiting and f', waiting{waiting}'}")
            case Ended.GAP:
                lines.append(f"the time to the next event ran out at {at}")
            case Ended.FORBIDDEN:
                lines.append(self._forbidden(found.absent, by, at))
            case Ended.NOT_NEXT:
                lines.append(f"killed by {by} at {at}: the very next event has to fit")
                if found.last is not None:
                    lines += self._miss_lines(found.last)
            case Ended.ROW_GONE:
                lines.append(f"ended at {at}: the row of its key went")
            case Ended.CANCELLED:
                lines.append(f"cancelled by {by} at {at}")
            case Ended.SKIPPED:
                lines.append(f"ended by the match at {at} (after match skip)")
            case Ended.REPLACED:
                lines.append(f"replaced by a later start at {at} (runs latest)")
            case Ended.NO_ROOM:
                lines.append(f"given up at {at}: too many partial matches of this key")
            case Ended.WAITING if found.due_ms is not None:
                lines.append(f"the absence it waits for holds at {self._clock(found.due_ms)}")
            case Ended.WAITING:
                lines.append(f"still waiting{self._waiting_for(found)}")
            case Ended.SETTLED if not found.rejected:
                lines.append("given up for another way of the same start")
        return lines

    def _forbidden(self, step: int | None, by: str, at: str) -> str:
        label = by if step is None else self._label(step)
        if step in self._untils:
            return f"ended by {by} at {at} (until {label})"
        return f"killed by `not {label}`: {by} at {at}"

    def _waiting_for(self, found: Candidate) -> str:
        labels = dict.fromkeys(self._label(step) for step in found.next)
        more = f", at least {found.need} more events" if found.need > 1 else ""
        return f" for {' or '.join(labels)}{more}" if labels else ""

    def _silence(self, found: Explored, watermark_ms: int) -> list[str]:
        silence, _ = leading_silence(self._rule.pattern)
        if silence is None:
            return []
        if found.gone_ms is not None:
            return [f"the row of the key went at {self._clock(found.gone_ms)}"]
        if found.silent_ms is None:
            return ["no event of the key has been seen"]
        due_ms = found.silent_ms + silence.for_ms
        since, due = self._clock(found.silent_ms), self._clock(due_ms)
        over = "were over" if due_ms < watermark_ms else "will be over"
        return [f"silent since {since}: {duration_text(silence.for_ms)} {over} at {due}"]

    # ---- windows

    def of_window(self, found: Looks) -> Told:
        look = found.nearest
        if look is None:
            line = f"{self._key(found.key)} had no window yet that is looked at"
            return Told(found.key, (0,), (f"{line}, of {_events(found.events)}",))
        order = (1, -len(look.unmet), look.at_ms)
        return Told(found.key, order, tuple(self._look(found.key, look)))

    def _look(self, key: Key, look: Look) -> list[str]:
        events = _events(len(look.window.window))
        line = f"{self._key(key)} window at {self._clock(look.at_ms)} with {events}"
        if look.fired:
            return [f"{line} fired"]
        if not look.unmet:
            assert self._rule.window is not None
            return [f"{line}: `when` was true, and `fire {self._rule.window.fire}` kept it back"]
        return [f"{line}: {unmet_text(self._rule, look.unmet)}"]

    # ---- parts

    def _label(self, step: int) -> str:
        return self._rule.steps[step].label

    def _key(self, key: Key) -> str:
        pairs = zip(self._rule.keys, key, strict=True)
        texts = [f"{part.name}={literal_text(part.type, value)}" for part, value in pairs]
        return ", ".join(texts) or "the rule"

    def _times(self, times_ms: Sequence[int]) -> str:
        texts = [self._clock(at_ms) for at_ms in times_ms]
        if len(texts) > TIMES_SHOWN:
            return f"{len(texts)} times from {texts[0]} to {texts[-1]}"
        return f"at {', '.join(texts)}"


def _events(count: int, which: str = "") -> str:
    return f"{count:,} {which}event{'s' if count != 1 else ''}"
