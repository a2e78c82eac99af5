"""Pass: the written pattern to `model.Pattern`, and its steps in reading order.

Also decides, for each step, which others may be bound before it, whether it repeats, and whether
a match may lack it.  Sequences and absences are in `sequences`, loops in `loops`, `&` and `n of` in
`any_order`.
"""

from __future__ import annotations

from dsl import ast, limits
from dsl.check import any_order, loops, sequences
from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.lowering import Lowering, Where
from dsl.check.shapes import least_events
from dsl.model import Bind, Choice, Pattern, Silence


def check_pattern(context: Context, rule: RuleDraft) -> None:
    assert rule.match is not None, "check_clauses requires it"
    before = len(context.diagnostics)
    written = rule.match.pattern
    rule.pattern = _Patterns(context, rule).lower(written, Where(top=True))
    if len(rule.steps) > limits.STEPS_MAX:
        context.report("E004", f"a pattern of more than {limits.STEPS_MAX} steps", written.span)
    elif rule.pattern is not None and not isinstance(rule.pattern, Silence):
        if least_events(rule.pattern) == 0:
            message = "this pattern fits no event at all"
            context.report("E037", message, written.span, "make one step required")
    elif rule.pattern is not None and rule.where_clause is not None:
        message = "there is no event that `where` could ask about"
        hint = "put the condition into the brackets of `not …[…]`"
        context.report("E033", message, rule.where_clause.span, hint)
    rule.broken = rule.broken or len(context.diagnostics) > before
    _unique_labels(context, rule)


class _Patterns(Lowering):
    def lower(self, node: ast.Pattern, where: Where) -> Pattern | None:
        match node:
            case ast.Step():
                index = self.step(node, where, absent=False)
                return None if index is None else Bind(index)
            case ast.Repetition():
                return loops.repetition(self, node, where.inside())
            case ast.Alternation():
                return self._alternation(node, where.inside())
            case ast.Sequence():
                return sequences.sequence(self, node, where)
            case ast.Conjunction():
                return any_order.conjunction(self, node, where.inside())
            case ast.SomeOf():
                return any_order.some_of(self, node, where.inside())
            case ast.Absent():
                return sequences.silence(self, node, where)

    def _alternation(self, node: ast.Alternation, where: Where) -> Pattern | None:
        options = [self.lower(option, where.as_optional()) for option in node.options]
        found = [option for option in options if option is not None]
        return Choice(tuple(found)) if len(found) == len(options) else None


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
