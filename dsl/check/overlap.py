"""Pass: warns where `not N` hides the very step it guards.

An event that fits both `not N` and the next step counts as N.  When every event that fits the
step also fits N, the step can never be bound.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsl.check.context import Context, RuleDraft
from dsl.model import Bind, Choice, Link, Pattern, Repeat


def check_overlap(context: Context, rule: RuleDraft) -> None:
    assert rule.pattern is not None, "broken rules come no further"
    for link in _links(rule.pattern):
        for absent in (rule.steps[index] for index in link.absent):
            for index in _first_steps(link.to) if link.to is not None else ():
                step = rule.steps[index]
                if absent.event.name != step.event.name or absent.key != step.key:
                    continue
                if absent.condition is None or absent.condition == step.condition:
                    message = f"every event that fits `{step.label}` also fits this `not`"
                    hint = "`not` wins, so the step is never bound; tell the two apart in `[…]`"
                    context.report("W001", message, absent.span, hint)


def _links(pattern: Pattern) -> Iterator[Link]:
    if isinstance(pattern, Repeat):
        yield from _links(pattern.node)
    elif isinstance(pattern, Choice):
        for option in pattern.options:
            yield from _links(option)
    elif not isinstance(pattern, Bind):
        yield from _links(pattern.first)
        for link in pattern.links:
            yield link
            if link.to is not None:
                yield from _links(link.to)


def _first_steps(pattern: Pattern) -> list[int]:
    if isinstance(pattern, Bind):
        return [pattern.step]
    if isinstance(pattern, Repeat):
        return _first_steps(pattern.node)
    if isinstance(pattern, Choice):
        return [step for option in pattern.options for step in _first_steps(option)]
    return _first_steps(pattern.first)
