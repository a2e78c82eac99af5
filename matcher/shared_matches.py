"""Which rules share their partial matches: `A ->> B ->> C` with `matches all`, and little else.

Where no condition looks at another event, whether an event continues a partial match depends only
on its step and time.  So the partial matches of a key need not be kept one by one, however many
there are, and `limit n runs` bounds what one event may complete instead.
"""

from __future__ import annotations

from dsl.model import Aggregate, Bind, Contiguity, Expr, FieldRef, Policy, Rule, Sequence, Skip
from matcher import limits
from matcher.schema import walk

STEPS_MAX = 4
"""What is left out is counted by running sums; with more steps they would be too many."""


def shares_matches(rule: Rule) -> bool:
    """Whether `rule` is a plain sequence of `->>` over events that do not look at one another."""
    pattern, policy = rule.pattern, rule.policy
    if rule.window is not None or rule.where is not None or rule.within_ms is None:
        return False
    if rule.skip is not Skip.NONE or policy != Policy(every=True, runs_max=policy.runs_max):
        return False
    if not isinstance(pattern, Sequence) or pattern.first != Bind(0):
        return False
    for step, link in enumerate(pattern.links, 1):
        bounded = link.arrow.min_gap_ms is not None or link.arrow.max_gap_ms is not None
        if link.to != Bind(step) or link.absent or bounded:
            return False
        if link.arrow.contiguity is not Contiguity.ANY:
            return False
    return 0 < len(pattern.links) < STEPS_MAX and all(
        step.condition is None or _is_its_own(step.condition) for step in rule.steps
    )


def matches_max(rule: Rule) -> int:
    """How many matches one event may complete."""
    return rule.policy.runs_max or limits.RUNS_PER_KEY_MAX


def _is_its_own(condition: Expr) -> bool:
    """Whether the condition looks at nothing but the event that is tested."""
    return not any(
        isinstance(node, Aggregate) or (isinstance(node, FieldRef) and node.step is not None)
        for node in walk(condition)
    )
