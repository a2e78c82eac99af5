"""Pass: no rule may keep partial matches for ever, and no gap may be out of reach.

A pattern of several steps needs `within`, or a greatest gap on every arrow; a repetition needs
`within`.  A trailing absence brings its own span with `for`.  `within unbounded` needs a limit of
runs, and of every repetition.  Whatever lets one event continue many partial matches in many ways
needs a limit of runs as well.
"""

from __future__ import annotations

from dsl.check.context import Context, RuleDraft
from dsl.model import Bind, Choice, Contiguity, Link, Pattern, Repeat
from dsl.source import Span
from dsl.strings import duration_text

_HINT = "add `within 10m` (or what suits) to the rule"
_LIMIT = "add `limit 100 runs` (or what suits) to the rule: so many partial matches of a key"


def check_bounds(context: Context, rule: RuleDraft) -> None:
    pattern, clause = rule.pattern, rule.match
    assert pattern is not None and clause is not None, "broken rules come no further"
    if rule.policy.runs_max is None:
        _needs_limit(context, rule, pattern, clause.pattern.span)
    if rule.within is not None and rule.within.limit is None:
        if _endless(pattern):
            message = "a repetition without an end would grow for ever"
            hint = "say how often at most: `{2,10}`"
            context.report("E040", message, clause.pattern.span, hint)
        return
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


def _needs_limit(context: Context, rule: RuleDraft, pattern: Pattern, span: Span) -> None:
    if rule.within is not None and rule.within.limit is None:
        message = "`within unbounded` keeps partial matches for ever"
        context.report("E040", message, rule.within.span, _LIMIT)
    elif rule.policy.every:
        message = "`matches all` may keep any number of partial matches"
        context.report("E040", message, rule.choices["matches"].span, _LIMIT)
    elif _forks(pattern):
        message = "`->>` may keep any number of partial matches"
        context.report("E040", message, span, _LIMIT)


def _forks(pattern: Pattern) -> bool:
    """Whether there is a `->>` in it."""
    if isinstance(pattern, Bind):
        return False
    if isinstance(pattern, Repeat):
        return _forks(pattern.node)
    if isinstance(pattern, Choice):
        return any(_forks(option) for option in pattern.options)
    return _forks(pattern.first) or any(
        link.arrow.contiguity is Contiguity.ANY or (link.to is not None and _forks(link.to))
        for link in pattern.links
    )


def _endless(pattern: Pattern) -> bool:
    """Whether a repetition in it has no upper bound."""
    if isinstance(pattern, Bind):
        return False
    if isinstance(pattern, Repeat):
        return pattern.most is None or _endless(pattern.node)
    if isinstance(pattern, Choice):
        return any(_endless(option) for option in pattern.options)
    return _endless(pattern.first) or any(_endless(link.to) for link in pattern.links if link.to)


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
