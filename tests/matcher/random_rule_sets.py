"""Hypothesis strategies: sets of random rules that read what others emit.

A and B come from the log; C and D are emitted, and may come from the log too.  Rules that read up
to B may emit C and D, rules that read C may emit D: so they feed each other, but in no circle.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from hypothesis import strategies as st
from random_rules import EVENTS, FIELDS, SPAN, arrows, call, const, ref, rules
from random_windows import resolved_windows, rules_with_derived, window_rules

from dsl.model import (
    WINDOW,
    Aggregate,
    Arrow,
    Bind,
    Emit,
    Expr,
    FieldRef,
    Key,
    Link,
    Path,
    Pattern,
    Policy,
    Rule,
    RuleSet,
    Sequence,
    Skip,
    Step,
    Symbol,
    Type,
)
from dsl.source import Span
from dsl.strata import events_read
from dsl.version import fingerprint

CONSTANTS = {"k": ("p", "q"), "g": ("p", "q"), "x": (0, 1, 2), "s": ("u", "v")}


def renamed(value: Any, names: dict[str, str]) -> Any:
    """A rule, or a part of one, over other event types."""
    if isinstance(value, tuple):
        return tuple(renamed(part, names) for part in value)
    if not is_dataclass(value) or isinstance(value, Type | Span):
        return value
    parts = {f.name: renamed(getattr(value, f.name), names) for f in fields(value) if f.init}
    if isinstance(parts.get("event"), str):
        parts["event"] = names[parts["event"]]
    if isinstance(value, FieldRef) and value.derived is not None:
        parts["path"] = (value.path[0], fingerprint(parts["derived"]))
    return replace(value, **parts)


@st.composite
def pairs(draw: st.DrawFn) -> Rule:
    """A rule of two steps, as most are."""
    rule = draw(rules())
    keys: tuple[Path, ...] = draw(st.sampled_from(((("k",),), (("k",),), ())))
    condition = None
    if draw(st.booleans()):
        condition = call("eq", ref("s"), ref("s", 0))
    steps = tuple(
        Step(index, f"s{index}", draw(st.sampled_from(("A", "B"))), test, keys, False, False, SPAN)
        for index, test in enumerate((None, condition))
    )
    return replace(
        rule,
        keys=tuple(Key(path[0], FIELDS[path[0]]) for path in keys),
        alphabet=tuple(dict.fromkeys(Symbol(step.event, None, keys) for step in steps)),
        steps=steps,
        pattern=Sequence(Bind(0), (Link(draw(arrows()), (), Bind(1)),)),
        where=None,
        skip=Skip.PAST_LAST,
        policy=Policy(),
    )


@st.composite
def singles(draw: st.DrawFn) -> Rule:
    """A rule of one event, or of one that nothing follows for a while."""
    rule = draw(pairs())
    first, second = rule.steps
    if draw(st.booleans()):
        pattern: Pattern = Bind(0)
        steps: tuple[Step, ...] = (first,)
    else:
        link = Link(Arrow(), (1,), None, draw(st.integers(1, 4)))
        pattern = Sequence(Bind(0), (link,))
        steps = (first, replace(second, absent=True))
    alphabet = tuple(dict.fromkeys(Symbol(step.event, None, first.key) for step in steps))
    return replace(rule, steps=steps, pattern=pattern, alphabet=alphabet)


@st.composite
def values(draw: st.DrawFn, rule: Rule, name: str) -> Expr:
    """A value for the field `name` of a derived event."""
    bound = [step.index for step in rule.steps if not step.absent]
    if rule.window is not None:
        bound = [WINDOW]
    if bound and draw(st.booleans()):
        step = draw(st.sampled_from(bound))
        return Aggregate(FIELDS[name], "last", step, (name,), False, SPAN)
    return const(draw(st.sampled_from(CONSTANTS[name])), FIELDS[name])


@st.composite
def emits(draw: st.DrawFn, rule: Rule, event: str) -> Emit:
    names = ("k", "g", "x", "s")
    given = [name for name in names if name in ("k", "g") or draw(st.booleans())]
    return Emit(event, tuple(((name,), draw(values(rule, name))) for name in given), SPAN)


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    found = []
    for number in range(draw(st.integers(2, 4))):
        first = number == 0
        simple = (singles(), pairs())
        others = (rules(), rules_with_derived(), window_rules(), resolved_windows())
        rule = draw(st.one_of(*simple) if first else st.one_of(*others, *simple))
        types = draw(st.sampled_from(("AB",) if first else ("CA", "CB", "CD", "DC", "AC", "AB")))
        rule = renamed(rule, dict(zip("AB", types, strict=True)))
        highest = max(events_read(rule))
        targets = [event for event in "CD" if event > highest]
        count = draw(st.sampled_from((1, 1, 2) if first else (0, 1, 1, 2)))
        chosen = [draw(st.sampled_from(targets)) for _ in range(count if targets else 0)]
        outputs = tuple(draw(emits(rule, event)) for event in chosen)
        found.append(replace(rule, name=f"r{number}", emits=outputs))
    return RuleSet(EVENTS, tuple(found), ())
