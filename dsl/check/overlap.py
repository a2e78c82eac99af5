"""Pass: steps that another part of the pattern takes all events from.

An event that fits both `not N` and the next step counts as N.  When every event that fits the
step also fits N, the step can never be bound; so it is with `until` and the loop it ends, and with
a possessive loop and the step behind it.
"""

from __future__ import annotations

from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.shapes import every, first_steps, least_events, links
from dsl.model import Arrow, Contiguity, Link, Repeat, Sequence


def check_overlap(context: Context, rule: RuleDraft) -> None:
    assert rule.pattern is not None, "broken rules come no further"
    for link in links(rule.pattern):
        if link.to is not None and link.absent_for_ms is None:
            _absences(context, rule, link)
    for part in every(rule.pattern):
        if isinstance(part, Repeat):
            _until(context, rule, part)
        elif isinstance(part, Sequence):
            parts = (part.first, *(link.to for link in part.links))
            for before, link in zip(parts, part.links, strict=False):
                if isinstance(before, Repeat):
                    _possessive(context, rule, before, link)


def _absences(context: Context, rule: RuleDraft, link: Link) -> None:
    for absent in (rule.steps[index] for index in link.absent):
        for step in (rule.steps[index] for index in first_steps(link.to)):
            if _covers(absent, step):
                message = f"every event that fits `{step.label}` also fits this `not`"
                hint = "`not` wins, so the step is never bound; tell the two apart in `[…]`"
                context.report("W001", message, absent.span, hint)


def _until(context: Context, rule: RuleDraft, loop: Repeat) -> None:
    for until in (rule.steps[index] for index in loop.until):
        for step in (rule.steps[index] for index in first_steps(loop.node)):
            if _covers(until, step):
                message = f"every event that fits `{step.label}` also ends its loop"
                hint = "`until` wins, so the loop never goes on; tell the two apart in `[…]`"
                context.report("W001", message, until.span, hint)


def _possessive(context: Context, rule: RuleDraft, loop: Repeat, link: Link) -> None:
    """The step behind an unbounded possessive loop must fit something the loop does not take."""
    free = loop.arrow == Arrow() and not loop.until and link.arrow.contiguity is Contiguity.NEXT
    if not loop.possessive or loop.most is not None or not free or link.to is None:
        return
    behind = first_steps(link.to)
    takers = [rule.steps[index] for index in first_steps(loop.node)]
    if least_events(link.to) == 0 or len(takers) != 1:
        return
    for step in (rule.steps[index] for index in behind):
        if _covers(takers[0], step):
            message = f"the loop of `{takers[0].label}` takes every event that fits `{step.label}`"
            hint = "a possessive loop gives nothing back; leave out its last `+`"
            context.report("E032", message, step.span, hint)


def _covers(wide: StepDraft, narrow: StepDraft) -> bool:
    """Whether every event that fits `narrow` surely fits `wide`."""
    if wide.event.name != narrow.event.name or wide.key != narrow.key:
        return False
    return wide.condition is None or wide.condition == narrow.condition
