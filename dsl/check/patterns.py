"""Pass: the written pattern to `model.Pattern`, and its steps in reading order.

Also decides, for each step, which others may be bound before it, whether it repeats, and whether
a match may lack it.  An absence belongs to the arrow into the step that follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dsl import ast, limits
from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.filters import named_event
from dsl.model import Arrow, Bind, Choice, Contiguity, Link, Pattern, Repeat, Sequence
from dsl.source import Span


def check_pattern(context: Context, rule: RuleDraft) -> None:
    assert rule.match is not None, "check_clauses requires it"
    before = len(context.diagnostics)
    lowering = _Lowering(context, rule)
    written = rule.match.pattern
    if isinstance(written, ast.Sequence):
        rule.pattern = lowering.sequence(written, _Where(top=True))
    else:
        rule.pattern = lowering.lower(written, _Where())
    if len(rule.steps) > limits.STEPS_MAX:
        context.report("E004", f"a pattern of more than {limits.STEPS_MAX} steps", written.span)
    elif rule.pattern is not None and least_events(rule.pattern) == 0:
        message = "this pattern fits no event at all"
        context.report("E037", message, written.span, "make one step required")
    rule.broken = rule.broken or len(context.diagnostics) > before
    _unique_labels(context, rule)


def least_events(pattern: Pattern) -> int:
    """The number of events of the shortest match."""
    if isinstance(pattern, Bind):
        return 1
    if isinstance(pattern, Repeat):
        return pattern.least * least_events(pattern.node)
    if isinstance(pattern, Choice):
        return min(least_events(option) for option in pattern.options)
    rest = (least_events(link.to) for link in pattern.links if link.to is not None)
    return least_events(pattern.first) + sum(rest)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where in the pattern we are: `bound` are the steps that may be bound by then."""

    bound: frozenset[int] = frozenset()
    repeated: bool = False
    optional: bool = False
    top: bool = False


@dataclass(slots=True)
class _Pending:
    """Absences read since the last step, and the arrow that led to the first of them."""

    arrow: ast.Arrow | None = None
    absent: list[int] = field(default_factory=list)
    lasting: ast.Absent | None = None
    last: ast.Absent | None = None


class _Lowering:
    def __init__(self, context: Context, rule: RuleDraft) -> None:
        self.context = context
        self.rule = rule

    def lower(self, node: ast.Pattern, where: _Where) -> Pattern | None:
        if isinstance(node, ast.Step):
            index = self._step(node, where, absent=False)
            return None if index is None else Bind(index)
        if isinstance(node, ast.Repetition):
            return self._repetition(node, where)
        if isinstance(node, ast.Alternation):
            return self._alternation(node, where)
        if isinstance(node, ast.Sequence):
            return self.sequence(node, _Where(where.bound, where.repeated, where.optional))
        if isinstance(node, ast.Absent):
            if not where.bound and not where.repeated and not where.optional:
                self._leading(node)
            else:
                hint = "`not` stands between two arrows, or last in the pattern"
                self._error("E034", "`not` cannot stand here", node.span, hint)
        return None  # the rest has been reported as not available

    def _leading(self, node: ast.Absent) -> None:
        if node.within is None:
            hint = "write `not N for 5m`, or put an event before it"
            self._error("E041", "nothing says since when this must not occur", node.span, hint)
        else:
            what = "`not` without an event before it"
            self._error("E090", f"{what} is not available yet", node.span)

    def _error(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.context.report(code, message, span, hint)

    def _step(self, node: ast.Step, where: _Where, *, absent: bool) -> int | None:
        base = named_event(self.context, node.core.name)
        if base is None:
            self.rule.broken = True
            return None
        index = len(self.rule.steps)
        event = self.context.events[base.event]
        if event.time_field is None and event.name not in self.context.emitted:
            message = f"event `{event.name}` has no `@time` field, so it has no place in a pattern"
            hint = "mark a timestamp with `@time`; only emitted events need none"
            self._error("E064", message, node.core.name.span, hint)
        draft = StepDraft(
            index,
            node.alias,
            node.core,
            event,
            base.condition,
            absent,
            where.repeated,
            where.optional,
            where.bound,
            node.span,
        )
        self.rule.steps.append(draft)
        return index

    def _repetition(self, node: ast.Repetition, where: _Where) -> Pattern | None:
        if node.most is not None and (node.most == 0 or node.most < node.least):
            written = f"{{{node.least},{node.most}}}"
            self._error("E035", f"the quantifier `{written}` takes no event", node.span)
        repeated = where.repeated or node.most is None or node.most > 1
        optional = where.optional or node.least == 0
        inner = self.lower(node.pattern, _Where(where.bound, repeated, optional))
        if inner is None:
            return None
        if least_events(inner) == 0:
            self._error("E037", "what is repeated here fits no event at all", node.pattern.span)
            return None
        if (node.least, node.most) == (1, 1):
            return inner
        return Repeat(inner, node.least, node.most, node.preference == "greedy")

    def _alternation(self, node: ast.Alternation, where: _Where) -> Pattern | None:
        inside = _Where(where.bound, where.repeated, True)
        options = [self.lower(option, inside) for option in node.options]
        found = [option for option in options if option is not None]
        return Choice(tuple(found)) if len(found) == len(options) else None

    def sequence(self, node: ast.Sequence, where: _Where) -> Pattern | None:
        begin = len(self.rule.steps)
        first = self.lower(node.first, where)
        links: list[Link] = []
        pending = _Pending()
        complete = first is not None
        for follow in node.rest:
            bound = where.bound | self._bound_since(begin)
            here = _Where(bound, where.repeated, where.optional)
            if isinstance(follow.pattern, ast.Absent):
                self._absence(follow.arrow, follow.pattern, here, pending)
                continue
            arrow = self._arrow(follow.arrow, pending)
            to = self.lower(follow.pattern, here)
            complete = complete and to is not None
            links.append(Link(arrow, tuple(pending.absent), to))
            pending = _Pending()
        if pending.last is not None:
            links.append(self._trailing(pending, where))
        return Sequence(first, tuple(links)) if complete and first is not None else None

    def _bound_since(self, begin: int) -> frozenset[int]:
        return frozenset(s.index for s in self.rule.steps[begin:] if not s.absent)

    def _absence(
        self, arrow: ast.Arrow, node: ast.Absent, where: _Where, pending: _Pending
    ) -> None:
        if pending.lasting is not None:
            self._error("E090", "a timed `not` before another step is not available yet", node.span)
        pending.arrow = pending.arrow or arrow
        pending.last = node
        pending.lasting = node if node.within is not None else pending.lasting
        inner = node.pattern
        options = inner.options if isinstance(inner, ast.Alternation) else (inner,)
        for option in options:
            if not isinstance(option, ast.Step):
                hint = "write `not Event[…]`, or `not (A | B)` for several"
                self._error("E034", "`not` takes events, nothing longer", option.span, hint)
                continue
            index = self._step(option, where, absent=True)
            if index is not None:
                pending.absent.append(index)

    def _arrow(self, written: ast.Arrow, pending: _Pending) -> Arrow:
        """The arrow into a step; with absences before it, the gap may be on either arrow."""
        if pending.lasting is not None:
            what = "a timed `not` before another step"
            self._error("E090", f"{what} is not available yet", pending.lasting.span)
        gap, first = written.gap, pending.arrow
        if first is not None and first.gap is not None:
            if gap is not None:
                self._error("E035", "the gap is written twice", gap.span, "keep one of them")
            gap = first.gap
        if first is not None and first.sign != written.sign:
            what = f"`{first.sign} not … {written.sign}`"
            self._error("E090", f"{what} is not available yet", first.span, "use one kind of arrow")
        least = gap.least.ms if gap and gap.least else None
        most = gap.most.ms if gap and gap.most else None
        if gap is not None and least is not None and most is not None and least > most:
            self._error("E035", "the least gap is longer than the greatest", gap.span)
        return Arrow(Contiguity(written.sign), least, most)

    def _trailing(self, pending: _Pending, where: _Where) -> Link:
        node, arrow = pending.last, pending.arrow
        assert node is not None and arrow is not None, "set together with the first absence"
        if not where.top:
            hint = "a group ends with an event; put `not` behind the group"
            self._error("E034", "`not` cannot end a group", node.span, hint)
        if arrow.sign == "=>":
            self._error("E090", "`=> not` at the end is not available yet", node.span)
        if arrow.gap is not None:
            self._error("E035", "a trailing `not` has no gap", arrow.span, "write `not N for 5m`")
        lasting = node.within.ms if node.within is not None else None
        if lasting is None and self.rule.within_ms is None:
            hint = "write `not N for 5m`, or give the rule a `within`"
            self._error("E041", "nothing says how long this must not occur", node.span, hint)
        if lasting == 0:
            self._error("E035", "an absence of no time", node.span)
        return Link(Arrow(Contiguity.NEXT), tuple(pending.absent), None, lasting)


def _unique_labels(context: Context, rule: RuleDraft) -> None:
    seen: dict[str, StepDraft] = {}
    for step in rule.steps:
        if step.alias is None:
            continue
        first = seen.setdefault(step.alias.text, step)
        if first is not step:
            message = f"a second step `{step.alias.text}`"
            context.report("E014", message, step.alias.span, "give it another name")
            rule.broken = True
