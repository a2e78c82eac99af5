"""Hypothesis strategies: random rules as typed models, and random streams for them.

The event types share the fields k, g (keys), x (int?), d (decimal?), f (float?), s (string?) and
l (list of strings, optional).
Values are few, so that events fit several steps, ties are common and nulls appear.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from dsl.model import (
    Aggregate,
    AnyOrder,
    Arrow,
    Bind,
    Call,
    Choice,
    Const,
    Contiguity,
    EventType,
    Expr,
    Field,
    FieldRef,
    Fire,
    Key,
    Kind,
    Link,
    Path,
    Pattern,
    Policy,
    Repeat,
    Rule,
    Runs,
    Sequence,
    Silence,
    Skip,
    Step,
    Symbol,
    Template,
    Type,
)
from dsl.source import Span

SPAN = Span("random", 0, 0)
BOOL = Type(Kind.BOOL, optional=True)
INT, INT_MAYBE = Type(Kind.INT), Type(Kind.INT, optional=True)
FLOAT_MAYBE = Type(Kind.FLOAT, optional=True)
DECIMAL_MAYBE = Type(Kind.DECIMAL, optional=True, scale=2)
STRING, STRING_MAYBE = Type(Kind.STRING), Type(Kind.STRING, optional=True)
TIMESTAMP = Type(Kind.TIMESTAMP)

FIELDS = {
    "ts": TIMESTAMP,
    "k": STRING_MAYBE,
    "g": STRING_MAYBE,
    "x": INT_MAYBE,
    "d": DECIMAL_MAYBE,
    "f": FLOAT_MAYBE,
    "s": STRING_MAYBE,
    "l": Type(Kind.LIST, optional=True, item=STRING),
}
EVENTS = {
    name: EventType(
        name,
        name,
        tuple(Field(field_name, type, (field_name,)) for field_name, type in FIELDS.items()),
        "ts",
        None,
        0,
        None,
        SPAN,
    )
    for name in ("A", "B", "C", "D")
}
NUMBERS = ("x", "d", "f")


# --------------------------------------------------------------------------------- streams


@st.composite
def streams(
    draw: st.DrawFn, size: int = 24, types: tuple[str, ...] = ("A", "B"), least: int = 0
) -> list[dict[str, object]]:
    """Events sorted by time, as JSON objects; positions are their places."""
    events = []
    ts = 0
    for _ in range(draw(st.integers(least, size))):
        ts += draw(st.sampled_from((0, 0, 1, 1, 2, 3, 7)))
        type = draw(st.sampled_from(types))
        key = draw(st.sampled_from(("p", "p", "p", "q", None)))
        events.append({"type": type, "ts": ts, "k": key, **draw(values)})
    return events


values = st.fixed_dictionaries(
    {
        "g": st.sampled_from(("p", "q")),
        "x": st.sampled_from((0, 1, 2, 3, None)),
        "d": st.sampled_from((0.5, 1.25, 2, None)),
        "f": st.sampled_from((0.1, 0.2, 3.5, None)),
        "s": st.sampled_from(("u", "v", "w", "U", "uv", None)),
        "l": st.sampled_from((["u"], ["v", "u"], [], None)),
    }
)
"""The fields of an event that are no key."""


def ndjson(events: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


# --------------------------------------------------------------------------------- conditions


def ref(name: str, step: int | None = None) -> FieldRef:
    return FieldRef(FIELDS[name], step, (name,), SPAN)


def call(op: str, *args: Expr, type: Type = BOOL) -> Call:
    return Call(type, op, args, SPAN)


def const(value: object, type: Type) -> Const:
    return Const(type, value, SPAN)


def as_float(expr: Expr) -> Expr:
    if expr.type.kind is Kind.FLOAT:
        return expr
    return call("to_float", expr, type=FLOAT_MAYBE)


CONSTANTS = {"x": (0, 1, 2), "d": (50, 125, 200), "f": (0.1, 0.3, 2.0), "s": ("u", "v")}
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


@st.composite
def own_conditions(draw: st.DrawFn) -> Expr:
    name = draw(st.sampled_from(("x", "x", "d", "f", "s")))
    ops = ("eq", "ne") if name == "s" else COMPARE
    value = const(draw(st.sampled_from(CONSTANTS[name])), FIELDS[name])
    condition = call(draw(st.sampled_from(ops)), ref(name), value)
    return call("not", condition) if draw(st.integers(0, 5)) == 0 else condition


@dataclass(slots=True)
class Scope:
    """Steps written so far: what a condition may refer to.

    In an `easy` one conditions are few, so that long patterns match as well.
    """

    steps: list[Step] = field(default_factory=list)
    easy: bool = False

    def single(self) -> list[int]:
        return [s.index for s in self.steps if not s.repeated and not s.absent]

    def repeated(self) -> list[int]:
        return [s.index for s in self.steps if s.repeated and not s.absent]


AGGREGATES = (
    *("count", "sum", "avg", "min", "max", "first", "last", "distinct", "values"),
    *("stddev", "quantile", "nth", "prev", "of value", "length"),
)


@st.composite
def functions(draw: st.DrawFn, step: int) -> Expr:
    """A condition on the event being tested and one of an earlier step, by a function of both."""
    text = ref("s", step)
    if draw(st.integers(0, 2)) == 0:
        text = call("coalesce", text, const("u", STRING), type=STRING)
    number, earlier = as_float(ref("f")), as_float(ref(draw(st.sampled_from(NUMBERS)), step))
    total = call("add", number, earlier, type=FLOAT_MAYBE)
    match draw(st.integers(0, 9)):
        case 0:
            op = draw(st.sampled_from(("contains", "starts_with", "ends_with")))
            return call(op, ref("s"), text)
        case 1:
            lower = call("lower", text, type=STRING_MAYBE)
            return call("eq", call("lower", ref("s"), type=STRING_MAYBE), lower)
        case 2:
            both = call("concat", ref("s"), text, type=STRING_MAYBE)
            return call("regex", both, const("^u.$", STRING))
        case 3:
            op = draw(st.sampled_from(("floor", "ceil", "round", "sqrt")))
            return call("gt", call(op, total, type=FLOAT_MAYBE), const(1.0, FLOAT_MAYBE))
        case 4:
            whole = call("to_int", total, type=INT_MAYBE)
            return call(draw(st.sampled_from(COMPARE)), whole, ref("x"))
        case 5:
            place = (as_float(ref("x")), number)
            apart = call("distance_km", *place, earlier, const(0.5, FLOAT_MAYBE), type=FLOAT_MAYBE)
            limit = const(draw(st.sampled_from((0.0, 100.0, 300.0))), FLOAT_MAYBE)
            return call(draw(st.sampled_from(COMPARE)), apart, limit)
        case 6:
            return call("in", ref("s"), ref("l", step))
        case 7:
            item = call("item", ref("l", step), ref("x"), type=STRING_MAYBE)
            return call(draw(st.sampled_from(("eq", "ne", "is_same"))), ref("s"), item)
        case 8:
            later = call("add", ref("ts"), ref("x", step), type=TIMESTAMP)
            zone = const("Europe/Paris", STRING)
            return call("lt", call("second", later, zone, type=INT), ref("x"))
    hidden = call("if", call("gt", number, earlier), text, const(None, Type(Kind.NULL, True)))
    chosen = call("coalesce", hidden, ref("s"), type=STRING_MAYBE)
    return call("is_same", chosen, ref("s", step))


@st.composite
def aggregates(draw: st.DrawFn, step: int, own: bool) -> Expr:
    """A number about the events bound to a repeated step, as a float."""
    function = draw(st.sampled_from((*AGGREGATES, *(("prev",) * 3 if own else ()))))
    if function == "count":
        return as_float(Aggregate(INT, "count", step, None, own, SPAN))
    name = draw(st.sampled_from(NUMBERS))
    if function == "values":
        return as_float(Aggregate(INT, "count", step, (name,), own, SPAN))
    if function == "distinct":
        path = (draw(st.sampled_from(("s", "x", "f"))),)
        return as_float(Aggregate(INT, "distinct", step, path, own, SPAN))
    if function in ("stddev", "quantile"):
        share = draw(st.sampled_from((0.0, 0.5, 0.9))) if function == "quantile" else None
        value = as_float(ref(name))
        return Aggregate(FLOAT_MAYBE, function, step, None, own, SPAN, value, share)
    if function in ("nth", "prev"):
        if function == "prev" and not own:
            function = "nth"
        place = draw(st.integers(0, 2)) if function == "nth" else None
        return as_float(Aggregate(FIELDS[name], function, step, (name,), own, SPAN, None, place))
    if function == "of value":
        value = call("mul", as_float(ref(name)), const(2.0, FLOAT_MAYBE), type=FLOAT_MAYBE)
        function = draw(st.sampled_from(("sum", "min", "first", "count", "count", "distinct")))
        if function == "count":
            limit = const(draw(st.sampled_from((0.2, 1.0))), FLOAT_MAYBE)
            nothing = const(None, Type(Kind.NULL, True))
            holds = call(draw(st.sampled_from(COMPARE)), as_float(ref(name)), limit)
            value = call("if", holds, const(1, INT), nothing, type=INT_MAYBE)
        type = INT if function in ("count", "distinct") else FLOAT_MAYBE
        return as_float(Aggregate(type, function, step, None, own, SPAN, value))
    if function == "length":
        listed = Aggregate(Type(Kind.LIST, item=FIELDS[name]), "list", step, (name,), own, SPAN)
        if draw(st.booleans()):
            top = Type(Kind.LIST, item=STRING_MAYBE)
            listed = Aggregate(top, "top", step, ("s",), own, SPAN, None, 1)
        return as_float(call("length", listed, type=INT))
    if function == "avg":
        scale = FIELDS[name].scale
        return Aggregate(Type(Kind.FLOAT, True, scale), "avg", step, (name,), own, SPAN)
    return as_float(Aggregate(FIELDS[name], function, step, (name,), own, SPAN))


@st.composite
def across(draw: st.DrawFn, scope: Scope, own_step: int | None) -> Expr | None:
    """A condition about earlier events; `own_step` is a repeated step testing its own candidate."""
    choices = []
    if scope.single():
        choices += ["number", "text", "null", "function", "function"]
    if scope.repeated():
        choices += ["aggregate", "member"]
    if own_step is not None:
        choices += ["own aggregate"]
    if not choices:
        return None
    choice = draw(st.sampled_from(choices))
    compare = draw(st.sampled_from(COMPARE))
    if choice == "own aggregate":
        assert own_step is not None
        limit = const(draw(st.sampled_from((1.0, 2.0, 3.0))), FLOAT_MAYBE)
        return call(compare, draw(aggregates(own_step, True)), limit)
    if choice == "aggregate":
        step = draw(st.sampled_from(scope.repeated()))
        own = as_float(ref(draw(st.sampled_from(NUMBERS))))
        return call(compare, own, draw(aggregates(step, False)))
    if choice == "member":
        step = draw(st.sampled_from(scope.repeated()))
        name = draw(st.sampled_from(("s", "x", "f")))
        group = Aggregate(Type(Kind.LIST, item=FIELDS[name]), "list", step, (name,), False, SPAN)
        member = call("in", ref(name), group)
        return call("not", member) if draw(st.booleans()) else member
    step = draw(st.sampled_from(scope.single()))
    if choice == "function":
        return draw(functions(step))
    if choice == "text":
        return call(draw(st.sampled_from(("eq", "ne", "is_same"))), ref("s"), ref("s", step))
    if choice == "null":
        fallback = call("coalesce", ref("x", step), const(1, INT), type=INT)
        return call(compare, ref("x"), fallback)
    name = draw(st.sampled_from(NUMBERS))
    if draw(st.booleans()):
        return call(compare, ref(name), ref(name, step))
    op = draw(st.sampled_from(("add", "sub", "mul", "div", "mod")))
    left, right = as_float(ref(name, step)), as_float(ref(draw(st.sampled_from(NUMBERS)), step))
    return call(compare, as_float(ref(name)), call(op, left, right, type=FLOAT_MAYBE))


@st.composite
def where_clauses(draw: st.DrawFn, scope: Scope) -> Expr | None:
    parts: list[Expr] = [
        call(draw(st.sampled_from(COMPARE)), ref("x", step), const(1, INT))
        for step in scope.single()[:2]
        if draw(st.integers(0, 2)) == 0
    ]
    for step in scope.repeated()[:2]:
        limit = const(draw(st.sampled_from((1.0, 2.0))), FLOAT_MAYBE)
        parts.append(call(draw(st.sampled_from(COMPARE)), draw(aggregates(step, False)), limit))
    if not parts or draw(st.booleans()):
        return None
    whole = parts[0]
    for part in parts[1:]:
        whole = call(draw(st.sampled_from(("and", "or"))), whole, part)
    return whole


# --------------------------------------------------------------------------------- patterns


@st.composite
def steps(
    draw: st.DrawFn, scope: Scope, keys: tuple[Path, ...], repeated: bool, absent: bool
) -> int:
    index = len(scope.steps)
    parts: list[Expr] = []
    ask = draw(st.integers(0, 6 if scope.easy else 2))
    if ask in (1, 2):
        parts.append(draw(own_conditions()))
    if draw(st.integers(0, 6 if scope.easy else 2)) == 0:
        own_step = index if repeated and not absent else None
        condition = draw(across(scope, own_step))
        parts += [] if condition is None else [condition]
    condition = None
    for part in parts:
        condition = part if condition is None else call("and", condition, part)
    if keys and draw(st.integers(0, 5)) == 0:
        keys = (("g",), *keys[1:])
    event = draw(st.sampled_from(("A", "A", "B")))
    alias = f"s{index}"
    scope.steps.append(Step(index, alias, event, condition, keys, absent, repeated, SPAN))
    return index


@st.composite
def arrows(draw: st.DrawFn) -> Arrow:
    contiguity = draw(st.sampled_from((Contiguity.NEXT,) * 3 + (Contiguity.STRICT, Contiguity.ANY)))
    least = draw(st.sampled_from((None, None, None, 0, 1, 2)))
    most = draw(st.sampled_from((None, None, None, 2, 5)))
    return Arrow(contiguity, least, most)


@st.composite
def patterns(
    draw: st.DrawFn, scope: Scope, keys: tuple[Path, ...], depth: int, repeated: bool
) -> Pattern:
    kinds = ("bind", "bind", "repeat", "choice", "sequence", "any order")
    kind = draw(st.sampled_from(kinds))
    if depth == 0 or kind == "bind":
        return Bind(draw(steps(scope, keys, repeated, False)))
    if kind == "repeat":
        return draw(loops(scope, keys, depth - 1))
    if kind == "any order":
        return draw(any_orders(scope, keys, repeated))
    if kind == "choice":
        count = draw(st.integers(2, 3))
        return Choice(tuple(draw(patterns(scope, keys, depth - 1, repeated)) for _ in range(count)))
    return draw(sequences(scope, keys, depth - 1, repeated))


@st.composite
def loops(draw: st.DrawFn, scope: Scope, keys: tuple[Path, ...], depth: int) -> Repeat:
    node = draw(patterns(scope, keys, depth, True))
    least = draw(st.sampled_from((0, 0, 0, 1, 1, 2, 3)))
    most = draw(st.one_of(st.none(), st.integers(max(1, least), least + 2)))
    arrow = draw(arrows()) if draw(st.integers(0, 2)) == 0 else Arrow()
    until = (draw(steps(scope, keys, True, True)),) if draw(st.integers(0, 4)) == 0 else ()
    preference = draw(st.sampled_from(("greedy", "reluctant", "possessive")))
    greedy, possessive = preference != "reluctant", preference == "possessive"
    return Repeat(node, least, most, greedy, arrow, until, possessive)


@st.composite
def any_orders(draw: st.DrawFn, scope: Scope, keys: tuple[Path, ...], repeated: bool) -> AnyOrder:
    """Conditions of one part know nothing of the others: those may not have come yet."""
    before = list(scope.steps)
    parts: list[Pattern] = []
    size = draw(st.integers(2, 4))
    count = draw(st.integers(1, size))
    for _ in range(size):
        kind = draw(st.sampled_from(("bind", "bind", "choice", "repeat")))
        loop = kind == "repeat" and count == size
        node: Pattern = Bind(draw(apart(scope, before, keys, repeated or loop)))
        if kind == "choice":
            node = Choice((node, Bind(draw(apart(scope, before, keys, repeated)))))
        if loop:
            least = draw(st.integers(0, 2))
            most = draw(st.sampled_from((None, max(1, least), least + 1)))
            node = Repeat(node, least, most, True)
        parts.append(node)
    absent = (draw(apart(scope, before, keys, repeated, True)),) if draw(st.booleans()) else ()
    arrow = draw(arrows()) if draw(st.integers(0, 2)) == 0 else Arrow()
    return AnyOrder(tuple(parts), count, arrow, absent)


@st.composite
def apart(
    draw: st.DrawFn,
    scope: Scope,
    before: list[Step],
    keys: tuple[Path, ...],
    repeated: bool,
    absent: bool = False,
) -> int:
    """A step whose condition may refer to `before` only."""
    known = [replace(step, absent=step not in before) for step in scope.steps]
    inner = Scope(known, scope.easy)
    index = draw(steps(inner, keys, repeated, absent))
    scope.steps.append(inner.steps[-1])
    return index


@st.composite
def sequences(
    draw: st.DrawFn, scope: Scope, keys: tuple[Path, ...], depth: int, repeated: bool
) -> Sequence:
    first = draw(patterns(scope, keys, depth, repeated))
    links = []
    for _ in range(draw(st.integers(1, 2))):
        absent: tuple[int, ...] = ()
        if draw(st.integers(0, 3)) == 0:
            absent = (draw(steps(scope, keys, repeated, True)),)
        arrow = draw(arrows())
        for_ms = draw(st.sampled_from((None, 0, 1, 3))) if absent else None
        to = draw(patterns(scope, keys, depth, repeated))
        links.append(Link(arrow, absent, to, for_ms))
    return Sequence(first, tuple(links))


@st.composite
def whole_patterns(
    draw: st.DrawFn,
    scope: Scope,
    keys: tuple[Path, ...],
    silence: Silence | None,
    bounded: bool,
    timed: bool,
) -> Pattern:
    """A pattern with all that only its outermost sequence can have."""
    pattern = draw(patterns(scope, keys, draw(st.integers(1, 3)), False))
    if timed:
        absent = draw(steps(scope, keys, False, True))
        within = bounded and draw(st.integers(0, 3)) == 0
        for_ms = None if within else draw(st.integers(1, 6))
        next_decides = draw(st.integers(0, 3)) == 0
        arrow = Arrow(Contiguity.STRICT) if next_decides else Arrow()
        link = Link(arrow, (absent,), None, for_ms)
        links = (*pattern.links, link) if isinstance(pattern, Sequence) else (link,)
        first = pattern.first if isinstance(pattern, Sequence) else pattern
        pattern = Sequence(first, links)
    if silence is None:
        return pattern
    if isinstance(pattern, Sequence):
        return Sequence(silence, (Link(Arrow(), (), pattern.first), *pattern.links))
    return Sequence(silence, (Link(Arrow(), (), pattern),))


@st.composite
def symbols(draw: st.DrawFn, keys: tuple[Path, ...]) -> tuple[Symbol, ...]:
    """What cancels or resolves: nothing, mostly; the key may be in another field."""
    if draw(st.integers(0, 2)):
        return ()
    if keys and draw(st.integers(0, 2)) == 0:
        keys = (("g",), *keys[1:])
    condition = draw(st.one_of(st.none(), own_conditions(), own_conditions()))
    return (Symbol(draw(st.sampled_from(("A", "B"))), condition, keys),)


@st.composite
def policies(
    draw: st.DrawFn, scope: Scope, keys: tuple[Path, ...], timed: bool
) -> tuple[Skip, Policy]:
    """Options that the checker lets go together; half of all rules have the default ones."""
    skip = draw(st.sampled_from((Skip.PAST_LAST, Skip.PAST_LAST, Skip.NONE)))
    if draw(st.booleans()):
        return skip, Policy()
    every = draw(st.integers(0, 3)) == 0
    fire = Fire.FIRST
    skip_to = None
    if every:
        skip = Skip.NONE
    else:
        ways = [way for way in Fire if way is not Fire.CLOSE or not timed]
        fire = draw(st.sampled_from(ways))
        if draw(st.integers(0, 2)) == 0 and not all(step.absent for step in scope.steps):
            skip = draw(st.sampled_from((Skip.FIRST, Skip.LAST)))
            bound = [step.index for step in scope.steps if not step.absent]
            skip_to = draw(st.sampled_from(bound))
    policy = Policy(
        every=every,
        runs=draw(st.sampled_from((Runs.ALL, Runs.ALL, *Runs))),
        fire=fire,
        skip_to=skip_to,
        runs_max=draw(st.sampled_from((None, None, 1, 2, 3))),
        cancel=draw(symbols(keys)),
        resolve=draw(symbols(keys)),
    )
    return skip, policy


@st.composite
def rules(draw: st.DrawFn, key_table: str | None = None) -> Rule:
    """A rule as the checker would give it, with every construct the matcher knows.

    With a `key_table` it begins with a silence, and its keys are that table's rows.
    """
    keys: tuple[Path, ...] = draw(st.sampled_from(((("k",),), (("k",),), (), (("k",), ("s",)))))
    if key_table is not None:
        keys = keys or (("g",),)
    scope = Scope(easy=draw(st.booleans()))
    within_ms = draw(st.sampled_from((3, 6, 10, 20, 20, None)))
    timed = draw(st.integers(0, 3)) == 0
    silence = None
    if key_table is not None or draw(st.integers(0, 5)) == 0:
        ends = [draw(apart(scope, [], keys, False, True)) for _ in range(draw(st.integers(1, 2)))]
        silence = Silence(tuple(ends), draw(st.integers(1, 5)))
    pattern: Pattern
    if silence is not None and draw(st.integers(0, 2)) == 0:
        pattern = silence
    else:
        pattern = draw(whole_patterns(scope, keys, silence, within_ms is not None, timed))
    used = sorted({step.event for step in scope.steps})
    alphabet = [Symbol(event, None, keys) for event in used]
    if draw(st.integers(0, 4)) == 0:
        alphabet[0] = Symbol(used[0], draw(own_conditions()), keys)
    skip, policy = draw(policies(scope, keys, timed))
    return Rule(
        name="random",
        title=None,
        severity="low",
        tags=(),
        doc=None,
        keys=tuple(Key(path[0], FIELDS[path[0]]) for path in keys),
        alphabet=tuple(alphabet),
        steps=tuple(scope.steps),
        pattern=pattern,
        within_ms=within_ms,
        where=draw(where_clauses(scope)),
        skip=skip,
        suppress=None,
        message=Template(()),
        attributes=(),
        notify=(),
        version="0" * 16,
        pattern_version="0" * 16,
        span=SPAN,
        policy=policy,
        key_table=key_table,
    )
