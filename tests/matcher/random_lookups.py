"""Hypothesis strategies: rules of windows, and of facts about keys, that look rows up."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from random_rules import (
    BOOL,
    COMPARE,
    FLOAT_MAYBE,
    INT,
    INT_MAYBE,
    SPAN,
    STRING,
    STRING_MAYBE,
    as_float,
    call,
    const,
    ref,
    rules,
)
from random_windows import derived_fields, shapes, window_aggregates, window_rules
from test_lookups_equal_reference import conditions

from dsl.model import (
    WINDOW,
    Aggregate,
    Derived,
    Expr,
    FieldRef,
    KeyRef,
    Kind,
    Placeholder,
    Rule,
    Template,
    Type,
    WindowFire,
    WindowKind,
    WindowShape,
)
from dsl.version import fingerprint

NUMBER = (const("rows", STRING), const("n", STRING))
TEXT = (const("rows", STRING), const("t", STRING))


def number_of(key: Expr) -> Expr:
    return call("lookup", *NUMBER, key, type=INT_MAYBE)


# --------------------------------------------------------------------------------- windows


@st.composite
def keys_of_windows(draw: st.DrawFn, rule: Rule) -> Expr:
    """What the condition of a window looks up by: the key, something told of the window, a text."""
    choice = draw(st.integers(0, 3))
    if choice < 2 and rule.keys:
        index = draw(st.integers(0, len(rule.keys) - 1))
        return KeyRef(rule.keys[index].type, index, SPAN)
    if choice == 2:
        function = draw(st.sampled_from(("first", "last")))  # texts have no least one
        return Aggregate(STRING_MAYBE, function, WINDOW, ("s",), False, SPAN)
    return const(draw(st.sampled_from(("u", "p"))), STRING)


@st.composite
def tests_that_look_up(draw: st.DrawFn, rule: Rule) -> Expr:
    key = draw(keys_of_windows(rule))
    count = Aggregate(INT, "count", WINDOW, None, False, SPAN)
    compare = draw(st.sampled_from(COMPARE))
    choice = draw(st.integers(0, 5))
    if choice == 0:
        there = call("listed", const("rows", STRING), key)
        return there if draw(st.booleans()) else call("not", there)
    if choice == 1:
        there = call("listed", const("listed", STRING), draw(st.sampled_from((count, NEWEST_X))))
        return call("coalesce", there, const(False, BOOL))
    if choice == 2:
        return call(compare, as_float(draw(window_aggregates())), as_float(number_of(key)))
    if choice == 3 and len({step.event for step in rule.steps}) == 1:
        looked_up = number_of(ref("s"))
        function = draw(st.sampled_from(("sum", "min", "count", "distinct", "last")))
        type_ = INT if function in ("count", "distinct") else INT_MAYBE
        found = Aggregate(type_, function, WINDOW, None, False, SPAN, looked_up)
        return call(compare, found, const(draw(st.integers(0, 3)), INT))
    default = call("coalesce", number_of(key), const(1, INT), type=INT)
    return call(compare, count, default)


NEWEST_X = Aggregate(INT_MAYBE, "last", WINDOW, ("x",), False, SPAN)


@st.composite
def looking_windows(draw: st.DrawFn) -> Rule:
    """A window whose filters, condition and message look rows up."""
    rule = draw(window_rules())
    assert rule.window is not None
    steps = []
    for step in rule.steps:
        condition = step.condition
        if draw(st.integers(0, 2)) == 0:
            more = draw(conditions(step, (), ()))
            condition = more if condition is None else call("and", condition, more)
        steps.append(replace(step, condition=condition))
    when = draw(tests_that_look_up(rule))
    if draw(st.booleans()):
        when = call(draw(st.sampled_from(("and", "or"))), rule.window.when, when)
    window = replace(rule.window, when=when)
    if draw(st.booleans()):  # edges look at what leaving events leave
        window = replace(window, shape=draw(shapes(WindowKind.SLIDING)), fire=WindowFire.EDGE)
    over = draw(tests_that_look_up(rule)) if draw(st.integers(0, 2)) == 0 else None
    return replace(rule, steps=tuple(steps), window=window, resolve_when=over)


# ----------------------------------------------------------------------------------- facts


@st.composite
def looking_facts(draw: st.DrawFn) -> FieldRef:
    """`first_seen` of something looked up, or a feature with a look-up in filter, value or key."""
    if draw(st.booleans()):
        text = call("lookup", *TEXT, ref(draw(st.sampled_from(("s", "g")))), type=STRING_MAYBE)
        values: tuple[Expr, ...] = draw(
            st.sampled_from(((text,), (ref("k"), text), (number_of(ref("s")), ref("g"))))
        )
        cap_ms = draw(st.sampled_from((2, 5, 30)))
        shape = WindowShape(WindowKind.COUNT, count=1, every=1, cap_ms=cap_ms)
        derived = Derived(None, "A", None, values, values, shape)
        path = ("first_seen", fingerprint(derived))
        return FieldRef(Type(Kind.BOOL, optional=True), None, path, SPAN, derived)
    field = draw(derived_fields().filter(lambda ref: ref.path[0] == "feature"))
    assert field.derived is not None and field.derived.aggregate is not None
    derived, type_ = field.derived, field.type
    if draw(st.booleans()):
        condition = call(draw(st.sampled_from(COMPARE)), number_of(ref("s")), const(1, INT))
        derived = replace(derived, condition=condition)
    else:
        function = draw(st.sampled_from(("sum", "last", "max")))
        aggregate = Aggregate(INT_MAYBE, function, WINDOW, None, False, SPAN, number_of(ref("s")))
        derived, type_ = replace(derived, aggregate=aggregate), INT_MAYBE
    return FieldRef(type_, None, ("feature", fingerprint(derived)), SPAN, derived)


@st.composite
def facts_tested(draw: st.DrawFn) -> Expr:
    field = draw(looking_facts())
    if field.type.kind is Kind.BOOL:
        return field if draw(st.booleans()) else call("not", field)
    limit = const(draw(st.sampled_from((0.0, 1.0, 2.0))), FLOAT_MAYBE)
    return call(draw(st.sampled_from(COMPARE)), as_float(field), limit)


@st.composite
def rules_with_looking_facts(draw: st.DrawFn) -> Rule:
    """A pattern or a window some of whose conditions read such facts, as does its message."""
    rule = draw(st.one_of(rules(), window_rules()))
    steps = []
    told: list[Expr] = []
    for step in rule.steps:
        condition = draw(facts_tested()) if draw(st.integers(0, 2)) == 0 else None
        if condition is not None and step.condition is not None:
            condition = call("and", step.condition, condition)
        steps.append(replace(step, condition=condition or step.condition))
        if rule.window is None and not step.absent and not step.repeated:
            told.append(replace(draw(looking_facts()), step=step.index))
    message = Template(tuple(Placeholder(expr, "", "told") for expr in told))
    if rule.window is not None:
        message = rule.message
    return replace(rule, steps=tuple(steps), message=message)
