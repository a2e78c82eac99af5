"""Pass: no rule may keep partial matches for ever, and no gap may be out of reach.

A pattern of several steps needs `within`, or a greatest gap on every arrow, those between the
rounds of a loop and the parts of `&` included; a loop without an upper count needs `within`.  A
trailing absence brings its own span with `for`; a silence waits for nothing.  `within unbounded`
needs a limit of runs, and of every repetition.  Whatever lets one event continue many partial
matches in many ways needs a limit of runs as well.
"""

from __future__ import annotations

from dsl.check.context import Context, RuleDraft
from dsl.check.shapes import every, links
from dsl.model import (
    AnyOrder,
    Bind,
    Choice,
    Contiguity,
    Link,
    Pattern,
    Repeat,
    Silence,
    leading_silence,
)
from dsl.source import Span
from dsl.strings import duration_text

_HINT = "add `within 10m` (or what suits) to the rule"
_LIMIT = "add `limit 100 runs` (or what suits) to the rule: so many partial matches of a key"


def check_bounds(context: Context, rule: RuleDraft) -> None:
    clause = rule.match
    assert rule.pattern is not None and clause is not None, "broken rules come no further"
    _, pattern = leading_silence(rule.pattern)
    if pattern is None:
        return
    if rule.policy.runs_max is None:
        _needs_limit(context, rule, pattern, clause.pattern.span)
    if rule.within is not None and rule.within.limit is None:
        if _endless(pattern):
            message = "a repetition without an end would grow for ever"
            hint = "say how often at most: `{2,10}`"
            context.report("E040", message, clause.pattern.span, hint)
        return
    if rule.within_ms is None:
        if _endless(pattern) or _waits_for_ever(pattern):
            message = "a repetition without `within` would be kept for ever"
            hint = f"{_HINT}, or an upper count and `gap ..5m` to the repetition"
            context.report("E040", message, clause.pattern.span, hint)
        elif not _gaps_bounded(pattern):
            message = "a match that never completes would be kept for ever"
            hint = f"{_HINT}, or a greatest gap to every arrow: `-[..5m]->`"
            context.report("E040", message, clause.pattern.span, hint)
        return
    assert rule.within is not None, "within_ms comes from it"
    least = _least_ms(pattern)
    if least > rule.within_ms:
        message = f"the gaps need at least {duration_text(least)}, longer than `within`"
        context.report("E032", message, rule.within.span)


def _needs_limit(context: Context, rule: RuleDraft, pattern: Pattern, span: Span) -> None:
    if rule.within is not None and rule.within.limit is None:
        message = "`within unbounded` keeps partial matches for ever"
        context.report("E040", message, rule.within.span, _LIMIT)
    elif rule.policy.every:
        message = "`matches all` may keep any number of partial matches"
        context.report("E040", message, rule.choices["matches"].span, _LIMIT)
    elif _forks(pattern):
        message = "`->>` and `combinations` may keep any number of partial matches"
        context.report("E040", message, span, _LIMIT)


def _forks(pattern: Pattern) -> bool:
    """Whether there is a `->>` or a loop with `combinations` in it."""
    arrows = [link.arrow for link in links(pattern)]
    arrows += [part.arrow for part in every(pattern) if isinstance(part, Repeat)]
    return any(arrow.contiguity is Contiguity.ANY for arrow in arrows)


def _endless(pattern: Pattern) -> bool:
    """Whether a repetition in it has no upper bound."""
    return any(isinstance(part, Repeat) and part.most is None for part in every(pattern))


def _waits_for_ever(pattern: Pattern) -> bool:
    """Whether a loop in it may wait for ever for its next round."""
    return any(
        part.most != 1 and part.arrow.max_gap_ms is None
        for part in every(pattern)
        if isinstance(part, Repeat)
    )


def _gaps_bounded(pattern: Pattern) -> bool:
    match pattern:
        case Bind() | Silence():
            return True
        case Repeat(node):
            return _gaps_bounded(node)
        case Choice(options):
            return all(_gaps_bounded(option) for option in options)
        case AnyOrder(arrow=arrow):
            return arrow.max_gap_ms is not None
        case _:
            return _gaps_bounded(pattern.first) and all(map(_link_bounded, pattern.links))


def _link_bounded(link: Link) -> bool:
    if link.to is None:
        return link.absent_for_ms is not None
    return link.arrow.max_gap_ms is not None and _gaps_bounded(link.to)


def _least_ms(pattern: Pattern) -> int:
    """The shortest time a match can take, from its first event to its last (or its deadline)."""
    match pattern:
        case Bind() | Silence():
            return 0
        case Repeat(node, least, arrow=arrow):
            return least * _least_ms(node) + max(0, least - 1) * (arrow.min_gap_ms or 0)
        case Choice(options):
            return min(_least_ms(option) for option in options)
        case AnyOrder():
            return 0
        case _:
            return _least_ms(pattern.first) + sum(map(_link_ms, pattern.links))


def _link_ms(link: Link) -> int:
    if link.to is None:
        return link.absent_for_ms or 0
    wait = 0 if link.absent_for_ms is None else link.absent_for_ms + 1
    return max(link.arrow.min_gap_ms or 0, wait) + _least_ms(link.to)
