"""Pass: the condition of every step, with the filters and the alphabet it implies.

A step's condition may use its own event's fields by bare name, and the steps that may be bound
before it by alias.  Not the ones after it, and never an absence: there is no such event.
"""

from __future__ import annotations

from collections import Counter

from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.expressions import Checker
from dsl.check.scope import Scope, StepName
from dsl.check.typing import fold
from dsl.model import Const, Expr


def check_conditions(context: Context, rule: RuleDraft) -> None:
    for step in rule.steps:
        parts = [_visible(rule, step), step.named]
        if step.core.condition is not None:
            written = Checker(context, step_scope(rule, step)).condition(step.core.condition)
            if written is None:
                rule.broken = True
            elif isinstance(written, Const):
                message = f"this condition is always {str(bool(written.value)).lower()}"
                context.report("W003", message, step.core.condition.span)
            parts.append(written)
        found = list(dict.fromkeys(part for part in parts if part is not None))
        step.condition = fold("and", found, step.span) if found else None


def _visible(rule: RuleDraft, step: StepDraft) -> Expr | None:
    """What `over` asks of the step's events; None when it asks nothing."""
    here = [s for s in rule.alphabet if (s.event, s.key) == (step.event.name, step.key)]
    conditions = [symbol.condition for symbol in here]
    if None in conditions or not conditions:
        return None
    found = list(dict.fromkeys(condition for condition in conditions if condition is not None))
    return fold("or", found, step.span)


def step_names(rule: RuleDraft) -> dict[str, StepDraft]:
    """Steps by alias, and by type or filter name where only one step without alias has it."""
    names = {step.alias.text: step for step in rule.steps if step.alias is not None}
    bare = [step for step in rule.steps if step.alias is None]
    uses = Counter(step.label for step in bare)
    for step in bare:
        if uses[step.label] == 1:
            names.setdefault(step.label, step)
    return names


def step_name(step: StepDraft) -> StepName:
    return StepName(step.index, step.event, step.repeated, step.optional)


def step_scope(rule: RuleDraft, step: StepDraft) -> Scope:
    own: set[str] = set()
    steps: dict[str, StepName] = {}
    later: dict[str, str] = {}
    for label, other in step_names(rule).items():
        if other is step:
            own.add(label)
        elif other.absent:
            later[label] = f"`{label}` must not occur, so it has no fields here"
        elif other.index in step.before:
            steps[label] = step_name(other)
        elif rule.are_beside(step, other):
            later[label] = f"`{label}` comes in any order with this step: compare them in `where`"
        elif other.index > step.index:
            later[label] = f"`{label}` comes after this step"
        else:
            later[label] = f"`{label}` is another alternative, and not bound here"
    own_step = None if step.absent else step_name(step)
    return Scope(step.event, frozenset(own), own_step, steps, later)


def match_scope(rule: RuleDraft) -> Scope:
    """Names in `where`, `alert` and `suppress`: the key and every bound step."""
    if rule.over is not None and rule.over.window is not None:
        sources = {step.event.name: step.event for step in rule.steps}
        return Scope(keys=rule.keys, window=tuple(sources.values()))
    steps: dict[str, StepName] = {}
    absent: dict[str, str] = {}
    for label, step in step_names(rule).items():
        if step.absent:
            absent[label] = f"`{label}` must not occur, so it has no fields"
        else:
            steps[label] = step_name(step)
    bound = [step for step in rule.steps if not step.absent]
    sole = step_name(bound[0]) if len(bound) == 1 and not bound[0].repeated else None
    return Scope(steps=steps, later=absent, keys=rule.keys, sole=sole)
