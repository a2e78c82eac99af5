"""Hypothesis strategies: random rules of windows, and rules that read derived fields."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from random_rules import (
    COMPARE,
    FIELDS,
    FLOAT_MAYBE,
    INT,
    NUMBERS,
    SPAN,
    as_float,
    call,
    const,
    own_conditions,
    ref,
    rules,
    symbols,
)

from dsl.model import (
    WINDOW,
    Aggregate,
    Bind,
    Choice,
    Derived,
    Expr,
    FieldRef,
    Key,
    KeyRef,
    Kind,
    Path,
    Placeholder,
    Policy,
    Repeat,
    Rule,
    Skip,
    Step,
    Symbol,
    Template,
    Type,
    Window,
    WindowFire,
    WindowKind,
    WindowShape,
)
from dsl.version import fingerprint

TEXTS = ("s", "g")
FUNCTIONS = (
    *("count", "values", "sum", "avg", "min", "max", "first", "last", "distinct"),
    *("stddev", "quantile", "computed"),
)


@st.composite
def shapes(draw: st.DrawFn, *kinds: WindowKind) -> WindowShape:
    kind = draw(st.sampled_from(kinds))
    size = draw(st.sampled_from((1, 2, 3, 5, 8, 20)))
    match kind:
        case WindowKind.TUMBLING:
            return WindowShape(kind, size_ms=size, every=size)
        case WindowKind.HOPPING:
            return WindowShape(kind, size_ms=size, every=draw(st.integers(1, size)))
        case WindowKind.SESSION:
            return WindowShape(kind, size_ms=size, cap_ms=size + draw(st.sampled_from((0, 3, 40))))
        case WindowKind.COUNT:
            every = draw(st.sampled_from((1, 1, 2, 3)))
            return WindowShape(kind, count=draw(st.integers(1, 4)), every=every, cap_ms=size)
    return WindowShape(kind, size_ms=size)


@st.composite
def window_aggregates(draw: st.DrawFn) -> Aggregate:
    function = draw(st.sampled_from(FUNCTIONS))
    if function == "count":
        return Aggregate(INT, "count", WINDOW, None, False, SPAN)
    if function in ("values", "distinct"):
        path = (draw(st.sampled_from((*NUMBERS, "s"))),)
        return Aggregate(INT, function.replace("values", "count"), WINDOW, path, False, SPAN)
    name = draw(st.sampled_from(NUMBERS))
    type_ = FIELDS[name]
    if function in ("stddev", "quantile"):
        value, share = as_float(ref(name)), draw(st.sampled_from((0.0, 0.5, 0.9)))
        share_of = share if function == "quantile" else None
        return Aggregate(FLOAT_MAYBE, function, WINDOW, None, False, SPAN, value, share_of)
    if function == "computed":
        twice = call("add", ref(name), ref(name), type=type_)
        function = draw(st.sampled_from(("sum", "min", "last")))
        return Aggregate(type_, function, WINDOW, None, False, SPAN, twice)
    if function == "avg":
        type_ = Type(Kind.FLOAT, True, type_.scale)
    return Aggregate(type_, function, WINDOW, (name,), False, SPAN)


@st.composite
def tests_of_windows(draw: st.DrawFn, keys: tuple[Path, ...]) -> Expr:
    choice = draw(st.integers(0, 9))
    if choice < 4:
        count = Aggregate(INT, "count", WINDOW, None, False, SPAN)
        return call(draw(st.sampled_from(COMPARE)), count, const(draw(st.integers(1, 4)), INT))
    if choice == 4:
        last = Aggregate(FIELDS["s"], "last", WINDOW, ("s",), False, SPAN)
        return call(draw(st.sampled_from(("eq", "is_same"))), last, const("u", FIELDS["s"]))
    if choice == 6:
        listed = Type(Kind.LIST, item=FIELDS["s"])
        function, most = draw(st.sampled_from((("list", None), ("top", 2))))
        several = Aggregate(listed, function, WINDOW, ("s",), False, SPAN, None, most)
        size = call("length", several, type=INT)
        return call(draw(st.sampled_from(COMPARE)), size, const(draw(st.integers(0, 3)), INT))
    if choice == 5 and keys:
        return call("ne", KeyRef(FIELDS["k"], 0, SPAN), const("q", FIELDS["k"]))
    limit = const(draw(st.sampled_from((0.5, 1.0, 2.0, 3.0))), FLOAT_MAYBE)
    number = as_float(draw(window_aggregates()))
    return call(draw(st.sampled_from(COMPARE)), number, limit)


FIRES = {
    WindowKind.SLIDING: (WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE),
    WindowKind.COUNT: (WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE),
    WindowKind.TUMBLING: tuple(WindowFire),
    WindowKind.SESSION: tuple(WindowFire),
    WindowKind.HOPPING: (WindowFire.CLOSE, WindowFire.ONCE),
}


@st.composite
def window_rules(draw: st.DrawFn) -> Rule:
    keys: tuple[Path, ...] = draw(st.sampled_from(((("k",),), (("k",),), (), (("k",), ("s",)))))
    steps = []
    for index in range(draw(st.sampled_from((1, 1, 2, 3)))):
        event = draw(st.sampled_from(("A", "B")))
        condition = draw(own_conditions()) if draw(st.booleans()) else None
        key = (("g",), *keys[1:]) if keys and draw(st.integers(0, 4)) == 0 else keys
        steps.append(Step(index, None, event, condition, key, False, True, SPAN))
    when = draw(tests_of_windows(keys))
    if draw(st.booleans()):
        when = call(draw(st.sampled_from(("and", "or"))), when, draw(tests_of_windows(keys)))
    if draw(st.integers(0, 3)) == 0:  # a least count: keys with fewer events are passed over
        count = Aggregate(INT, "count", WINDOW, None, False, SPAN)
        least = call("ge", count, const(draw(st.integers(2, 3)), INT))
        when = call("and", least, when) if draw(st.booleans()) else least
    shape = draw(shapes(*WindowKind))
    told: list[Expr] = [
        draw(window_aggregates()),
        draw(window_aggregates()),
        Aggregate(Type(Kind.LIST, item=FIELDS["s"]), "list", WINDOW, ("s",), False, SPAN),
    ]
    binds = tuple(Bind(step.index) for step in steps)
    return Rule(
        name="random",
        title=None,
        severity="low",
        tags=(),
        doc=None,
        keys=tuple(Key(path[0], FIELDS[path[0]]) for path in keys),
        alphabet=tuple(Symbol(step.event, None, step.key) for step in steps),
        steps=tuple(steps),
        pattern=Repeat(Choice(binds), 1, None, True),
        within_ms=None,
        where=None,
        skip=Skip.PAST_LAST,
        suppress=None,
        message=Template(tuple(Placeholder(expr, "", "told") for expr in told)),
        attributes=(),
        notify=(),
        version="0" * 16,
        pattern_version="0" * 16,
        span=SPAN,
        window=Window(shape, when, draw(st.sampled_from(FIRES[shape.kind]))),
    )


@st.composite
def resolved_windows(draw: st.DrawFn) -> Rule:
    """A window whose detections are resolved: by events, by a condition, or by both."""
    rule = draw(window_rules())
    keys: tuple[Path, ...] = tuple((key.name,) for key in rule.keys)
    if rule.window is not None and draw(st.booleans()):  # one that holds now and then
        count = Aggregate(INT, "count", WINDOW, None, False, SPAN)
        when = call("ge", count, const(draw(st.integers(1, 3)), INT))
        rule = replace(rule, window=replace(rule.window, when=when))
    over = None
    if draw(st.integers(0, 3)):
        over = draw(tests_of_windows(keys))
        if draw(st.booleans()):
            over = call(draw(st.sampled_from(("and", "or"))), over, draw(tests_of_windows(keys)))
    found: list[Symbol] = []
    if over is None or draw(st.booleans()):
        condition = draw(st.one_of(st.none(), own_conditions()))
        key = (("g",), *keys[1:]) if keys and draw(st.integers(0, 2)) == 0 else keys
        found.append(Symbol(draw(st.sampled_from(("A", "B"))), condition, key))
        found += draw(symbols(keys))
    return replace(rule, resolve_when=over, policy=Policy(resolve=tuple(found)))


# ------------------------------------------------------------------------------ derived fields


@st.composite
def derived_fields(draw: st.DrawFn) -> FieldRef:
    """A feature or `first_seen`, as a field that both event types can read."""
    if draw(st.integers(0, 2)) == 0:
        names = draw(st.sampled_from((("k",), ("k", "s"), ("x",))))
        key = tuple(ref(name) for name in names)
        cap_ms = draw(st.sampled_from((2, 5, 30)))
        shape = WindowShape(WindowKind.COUNT, count=1, every=1, cap_ms=cap_ms)
        derived = Derived(None, "A", None, key, key, shape)
        type_ = Type(Kind.BOOL, optional=True)
        return FieldRef(type_, None, ("first_seen", fingerprint(derived)), SPAN, derived)
    aggregate = draw(window_aggregates())
    condition = draw(own_conditions()) if draw(st.booleans()) else None
    name = draw(st.sampled_from(("k", "g")))
    shape = draw(shapes(WindowKind.SLIDING, WindowKind.COUNT))
    shape = replace(shape, every=1)
    event = draw(st.sampled_from(("A", "B")))
    key, reads = (ref(name),), (ref(draw(st.sampled_from((name, "k")))),)
    derived = Derived(aggregate, event, condition, key, reads, shape)
    type_ = replace(aggregate.type, optional=True)
    return FieldRef(type_, None, ("feature", fingerprint(derived)), SPAN, derived)


@st.composite
def derived_conditions(draw: st.DrawFn) -> Expr:
    field = draw(derived_fields())
    if field.type.kind is Kind.BOOL:
        return field if draw(st.booleans()) else call("not", field)
    if draw(st.integers(0, 5)) == 0:
        return call("is_null", field)
    limit = const(draw(st.sampled_from((0.0, 1.0, 2.0))), FLOAT_MAYBE)
    return call(draw(st.sampled_from(COMPARE)), as_float(field), limit)


@st.composite
def rules_with_derived(draw: st.DrawFn) -> Rule:
    """A pattern or a window some of whose conditions read derived fields, as does its message."""
    rule = draw(st.one_of(rules(), window_rules()))
    steps = []
    told: list[Expr] = []
    for step in rule.steps:
        condition = draw(derived_conditions()) if draw(st.integers(0, 2)) == 0 else None
        if condition is not None and step.condition is not None:
            condition = call("and", step.condition, condition)
        steps.append(replace(step, condition=condition or step.condition))
        if rule.window is None and not step.absent and not step.repeated:
            told.append(replace(draw(derived_fields()), step=step.index))
    message = Template(tuple(Placeholder(expr, "", "told") for expr in told))
    if rule.window is not None:
        message = rule.message
    return replace(rule, steps=tuple(steps), message=message)
