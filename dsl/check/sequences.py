"""Sequences and what must not occur: between two steps, behind the last, before the first.

An absence belongs to the arrow into the step that follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dsl import ast
from dsl.check.lowering import Lowering, Where
from dsl.check.shapes import least_events
from dsl.model import Arrow, Contiguity, Link, Pattern, Sequence, Silence


@dataclass(slots=True)
class _Pending:
    """Absences read since the last step, and the arrow that led to the first of them."""

    arrow: ast.Arrow | None = None
    absent: list[int] = field(default_factory=list)
    written: list[ast.Absent] = field(default_factory=list)

    @property
    def lasting(self) -> ast.Absent | None:
        return next((node for node in self.written if node.within is not None), None)

    @property
    def for_ms(self) -> int | None:
        return self.lasting.within.ms if self.lasting and self.lasting.within else None


def sequence(lowering: Lowering, node: ast.Sequence, where: Where) -> Pattern | None:
    begin = len(lowering.rule.steps)
    leading = isinstance(node.first, ast.Absent)
    first = lowering.lower(node.first, where if leading else where.inside())
    links: list[Link] = []
    pending = _Pending()
    complete = first is not None
    for follow in node.rest:
        bound = where.bound | lowering.bound_since(begin)
        here = Where(bound, where.repeated, where.optional)
        if isinstance(follow.pattern, ast.Absent):
            _absence(lowering, follow.arrow, follow.pattern, here, pending)
            continue
        if isinstance(first, Silence) and not links:
            _after_silence(lowering, follow.arrow, pending)
        to = lowering.lower(follow.pattern, here)
        complete = complete and to is not None
        links.append(_link(lowering, follow.arrow, to, pending))
        pending = _Pending()
    if pending.written:
        if isinstance(first, Silence) and not links:
            _after_silence(lowering, node.rest[0].arrow, pending)
        else:
            links.append(_trailing(lowering, pending, where))
    return Sequence(first, tuple(links)) if complete and first is not None else None


def silence(lowering: Lowering, node: ast.Absent, where: Where) -> Pattern | None:
    """`not B for 5m` where no event stands before it."""
    if not where.top:
        hint = "`not` stands between two arrows, or first or last in the pattern"
        lowering.error("E034", "`not` cannot stand here", node.span, hint)
        return None
    absent = _absent_steps(lowering, node, Where())
    if node.within is None:
        hint = "write `not N for 5m`, or put an event before it"
        lowering.error("E041", "nothing says since when this must not occur", node.span, hint)
        return None
    _some_time(lowering, node)
    return Silence(tuple(absent), node.within.ms)


def _after_silence(lowering: Lowering, arrow: ast.Arrow, pending: _Pending) -> None:
    if pending.written:
        hint = "write `not (N | M) for 5m` for several"
        span = pending.written[0].span
        lowering.error("E034", "an event comes behind the first `not`", span, hint)
    elif arrow.sign != "->" or arrow.gap is not None:
        message = "behind the first `not` there is no event to count from"
        lowering.error("E035", message, arrow.span, "write `->`")


def _absence(
    lowering: Lowering, arrow: ast.Arrow, node: ast.Absent, where: Where, pending: _Pending
) -> None:
    pending.arrow = pending.arrow or arrow
    pending.written.append(node)
    if pending.lasting is not None and len(pending.written) == 2:
        hint = "write `not (N | M) for 5m`"
        lowering.error("E034", "a timed `not` stands alone between its arrows", node.span, hint)
    _some_time(lowering, node)
    pending.absent += _absent_steps(lowering, node, where)


def _some_time(lowering: Lowering, node: ast.Absent) -> None:
    if node.within is not None and node.within.ms == 0:
        lowering.error("E035", "an absence of no time", node.span)


def _absent_steps(lowering: Lowering, node: ast.Absent, where: Where) -> list[int]:
    inner = node.pattern
    options = inner.options if isinstance(inner, ast.Alternation) else (inner,)
    steps = []
    for option in options:
        if not isinstance(option, ast.Step):
            hint = "write `not Event[…]`, or `not (A | B)` for several"
            lowering.error("E034", "`not` takes events, nothing longer", option.span, hint)
            continue
        index = lowering.step(option, where, absent=True)
        if index is not None:
            steps.append(index)
    return steps


def _link(lowering: Lowering, written: ast.Arrow, to: Pattern | None, pending: _Pending) -> Link:
    """The arrow into a step; with absences before it, the gap may be on either arrow."""
    gap, first = written.gap, pending.arrow
    if first is not None:
        if first.gap is not None and gap is not None:
            lowering.error("E035", "the gap is written twice", gap.span, "keep one of them")
        gap = first.gap or gap
        _same_signs(lowering, first, written, pending)
    arrow = lowering.arrow(Contiguity(written.sign), gap)
    for_ms, lasting = pending.for_ms, pending.lasting
    if for_ms is not None and lasting is not None:
        if arrow.max_gap_ms is not None and arrow.max_gap_ms <= for_ms:
            message = "the gap ends before this has been absent for so long"
            lowering.error("E032", message, lasting.span, "make the greatest gap longer")
        if to is not None and least_events(to) == 0:
            message = "nothing is required behind this timed `not`"
            lowering.error("E037", message, lasting.span, "make the next step required")
    return Link(arrow, tuple(pending.absent), to, for_ms)


def _same_signs(lowering: Lowering, first: ast.Arrow, second: ast.Arrow, pending: _Pending) -> None:
    if first.sign != second.sign:
        message = f"`{first.sign} not … {second.sign}` can be read in two ways"
        hint = f"write `{second.sign}` on both sides"
        if second.sign == "=>":
            hint = "nothing comes between with `=>`, so `not` is not needed; or write `->` twice"
        lowering.error("E034", message, first.span, hint)
    elif second.sign == "=>" and pending.lasting is not None:
        message = "`=>` is the very next event, so there is no time to wait"
        lowering.error("E035", message, second.span, "write `->` on both sides")


def _trailing(lowering: Lowering, pending: _Pending, where: Where) -> Link:
    node, arrow, rule = pending.written[-1], pending.arrow, lowering.rule
    assert arrow is not None, "set together with the first absence"
    if not where.top:
        hint = "a group ends with an event; put `not` behind the group"
        lowering.error("E034", "`not` cannot end a group", node.span, hint)
    if arrow.gap is not None:
        message = "a trailing `not` has no gap"
        lowering.error("E035", message, arrow.span, "write `not N for 5m`")
    for_ms = pending.for_ms if pending.lasting is not None else rule.step_within_ms
    if for_ms is None and rule.within_ms is None:
        hint = "write `not N for 5m`, or give the rule a `within`"
        lowering.error("E041", "nothing says how long this must not occur", node.span, hint)
    strict = arrow.sign == "=>"
    contiguity = Contiguity.STRICT if strict else Contiguity.NEXT
    return Link(Arrow(contiguity), tuple(pending.absent), None, for_ms)
