"""What the parts of the pattern pass share: the place in the pattern, steps and arrows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dsl import ast
from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.filters import named_event
from dsl.model import Arrow, Contiguity, Pattern
from dsl.source import Span


@dataclass(frozen=True, slots=True)
class Where:
    """Where in the pattern we are: `bound` are the steps that may be bound by then.

    `top` is the outermost pattern.
    """

    bound: frozenset[int] = frozenset()
    repeated: bool = False
    optional: bool = False
    top: bool = False

    def inside(self) -> Where:
        return replace(self, top=False)

    def as_optional(self) -> Where:
        return replace(self, optional=True)

    def in_loop(self, least: int, most: int | None) -> Where:
        repeated = self.repeated or most is None or most > 1
        return replace(self, repeated=repeated, optional=self.optional or least == 0)


class Lowering:
    def __init__(self, context: Context, rule: RuleDraft) -> None:
        self.context = context
        self.rule = rule

    def lower(self, node: ast.Pattern, where: Where) -> Pattern | None:
        """The pattern, with its steps added to the rule; None after reporting what is wrong."""
        raise NotImplementedError

    def step(self, node: ast.Step, where: Where, *, absent: bool) -> int | None:
        """Add a step to the rule; its number, or None after reporting what is wrong."""
        return self.core(node.core, where, absent=absent, alias=node.alias, span=node.span)

    def core(
        self,
        core: ast.Core,
        where: Where,
        *,
        absent: bool,
        alias: ast.Name | None = None,
        span: Span | None = None,
    ) -> int | None:
        base = named_event(self.context, core.name)
        if base is None:
            self.rule.broken = True
            return None
        index = len(self.rule.steps)
        event = self.context.events[base.event]
        self.context.check_time(event, core.name, "place in a pattern")
        draft = StepDraft(
            index,
            alias,
            core,
            event,
            base.condition,
            absent,
            where.repeated,
            where.optional,
            where.bound,
            span or core.span,
        )
        self.rule.steps.append(draft)
        return index

    def error(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.context.report(code, message, span, hint)

    def bound_since(self, begin: int) -> frozenset[int]:
        """The steps since number `begin` that bind an event."""
        return frozenset(step.index for step in self.rule.steps[begin:] if not step.absent)

    def arrow(self, contiguity: Contiguity, gap: ast.Gap | None) -> Arrow:
        """An arrow of that kind; `within … per step` bounds every one of them."""
        least = gap.least.ms if gap and gap.least else None
        most = gap.most.ms if gap and gap.most else None
        if gap is not None and least is not None and most is not None and least > most:
            self.error("E035", "the least gap is longer than the greatest", gap.span)
        per_step = self.rule.step_within_ms
        if per_step is not None:
            most = per_step if most is None else min(most, per_step)
        return Arrow(contiguity, least, most)
