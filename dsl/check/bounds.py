"""Pass: no rule may keep partial matches for ever, and no gap may be out of reach.

A pattern of several steps needs `within`, or a greatest gap on every arrow; a repetition needs
`within`.  A trailing absence brings its own span with `for`.
"""

from __future__ import annotations

from dsl.check.context import Context, RuleDraft
from dsl.model import Bind, Choice, Link, Pattern, Repeat
from dsl.strings import duration_text

_HINT = "add `within 10m` (or what suits) to the rule"


def check_bounds(context: Context, rule: RuleDraft) -> None:
    pattern, clause = rule.pattern, rule.match
    assert pattern is not None and clause is not None, "broken rules come no further"
    if rule.within_ms is None:
        if _repeats(pattern):
            message = "a repetition without `within` would be kept for ever"
            context.report("E040", message, clause.pattern.span, _HINT)
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


def _repeats(pattern: Pattern) -> bool:
    if isinstance(pattern, Bind):
        return False
    if isinstance(pattern, Repeat):
        return pattern.most is None or pattern.most > 1 or _repeats(pattern.node)
    if isinstance(pattern, Choice):
        return any(_repeats(option) for option in pattern.options)
    return _repeats(pattern.first) or any(_repeats(link.to) for link in pattern.links if link.to)


def _gaps_bounded(pattern: Pattern) -> bool:
    if isinstance(pattern, Bind):
        return True
    if isinstance(pattern, Repeat):
        return _gaps_bounded(pattern.node)
    if isinstance(pattern, Choice):
        return all(_gaps_bounded(option) for option in pattern.options)
    return _gaps_bounded(pattern.first) and all(_link_bounded(link) for link in pattern.links)


def _link_bounded(link: Link) -> bool:
    if link.to is None:
        return link.absent_for_ms is not None
    return link.arrow.max_gap_ms is not None and _gaps_bounded(link.to)


def _least_ms(pattern: Pattern) -> int:
    """The shortest time a match can take, from its first event to its last."""
    if isinstance(pattern, Bind):
        return 0
    if isinstance(pattern, Repeat):
        return pattern.least * _least_ms(pattern.node)
    if isinstance(pattern, Choice):
        return min(_least_ms(option) for option in pattern.options)
    gaps = (link.arrow.min_gap_ms or 0 for link in pattern.links)
    inner = (_least_ms(link.to) for link in pattern.links if link.to is not None)
    return _least_ms(pattern.first) + sum(gaps) + sum(inner)
