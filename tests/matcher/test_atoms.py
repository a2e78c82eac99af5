"""Vectorised evaluation of single-event expressions: equal to the scalar evaluator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from model_builders import SPAN, batch_of, call, const, event, field, ref

from dsl.model import Call, Const, Expr, Kind, Path, Type
from dsl.operators import LOOKUPS, OPERATORS
from matcher.atoms import Atoms
from matcher.batch import NULL
from matcher.evaluate import Environment, evaluate
from matcher.lists import list_of
from matcher.schema import Schema, walk
from matcher.strings import Strings

VALUES = ("approved", "declined")
A = event(
    "A",
    field("b", "bool"),
    field("b2", "bool?"),
    field("i", "int"),
    field("i2", "int?"),
    field("f", "float"),
    field("f2", "float?"),
    field("d", "decimal", scale=2),
    field("d2", "decimal?", scale=2),
    field("s", "string"),
    field("s2", "string?"),
    field("e", "enum?", values=VALUES),
    field("ip", "ip?"),
    field("t", "duration?"),
    field("at", "timestamp?"),
    field("l", "list?", item=Type(Kind.STRING)),
    field("n", "list", item=Type(Kind.INT, optional=True)),
)
B = event("B", field("i", "int?"), field("s", "string"), field("z", "float?"))
SCHEMA = Schema([A, B])

bools = st.booleans()
ints = st.one_of(
    st.integers(-4, 4), st.sampled_from([2**31, 2**32 + 1, 2**62, 2**63 - 1, -(2**63) + 1])
)
floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -2.5, 0.5, 1.5, 1e308, -1e308, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
)
decimals = st.one_of(st.integers(-300, 300), st.sampled_from([2**53 - 1, 1 - 2**53]))
texts = st.one_of(
    st.sampled_from(["", "a", "A", "ab", " ab ", "b%", "x\ny", "Straße", "10.0.0.1", "approved"]),
    st.text(max_size=3),
)
ips = st.sampled_from(["10.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "2001:db8::1"])
SCALARS: dict[str, st.SearchStrategy[object]] = {
    "bool": bools,
    "int": ints,
    "float": floats,
    "decimal": decimals,
    "string": texts,
    "enum": st.sampled_from(VALUES),
    "ip": ips,
    "duration": ints,
    "timestamp": st.integers(0, 10) | st.integers(-(10**11), 3 * 10**12) | st.just(10**15),
    "list": st.lists(st.sampled_from(["a", "b", "", "é"]), max_size=3).map(tuple),
}
FIELDS = {
    "bool": ["b", "b2"],
    "int": ["i", "i2"],
    "float": ["f", "f2"],
    "decimal": ["d", "d2"],
    "string": ["s", "s2"],
    "enum": ["e"],
    "ip": ["ip"],
    "duration": ["t"],
    "timestamp": ["at"],
}
NUMBERS = ("int", "float", "decimal", "duration", "timestamp")
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


def record_of(declared: object) -> st.SearchStrategy[Mapping[Path, object]]:
    fields = {}
    for each in declared.fields:  # type: ignore[attr-defined]  # an event type
        scalars = SCALARS[each.type.kind]
        if each.name == "n":
            scalars = st.lists(st.none() | ints, max_size=3).map(tuple)
        fields[(each.name,)] = st.none() | scalars if each.type.optional else scalars
    return st.fixed_dictionaries(fields)


rows = st.lists(
    st.one_of(
        st.tuples(st.just("A"), st.integers(0, 10), record_of(A)),
        st.tuples(st.just("A"), st.integers(0, 10), record_of(A)),
        st.tuples(st.just("B"), st.integers(0, 10), record_of(B)),
    ),
    max_size=12,
)


def made(kind: str) -> dict[str, int]:
    return {"scale": 2} if kind == "decimal" else {}


def leaf(kind: str) -> st.SearchStrategy[Expr]:
    fields = [ref(name, kind + "?" * name.endswith("2"), **made(kind)) for name in FIELDS[kind]]
    consts = SCALARS[kind].map(lambda value: const(value, kind, **made(kind)))
    return st.one_of(st.sampled_from(fields), st.sampled_from(fields), consts)


@st.composite
def expressions(draw: st.DrawFn, kind: str, depth: int) -> Expr:
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(leaf(kind))

    def inner(of: str) -> Expr:
        return draw(expressions(of, depth - 1))

    def one_of(*options: str) -> str:
        return draw(st.sampled_from(options))

    def maybe_null(of: str) -> Expr:
        return const(None) if draw(st.integers(0, 5)) == 0 else inner(of)

    general = one_of("own", "own", "own", "coalesce", "if")
    if general == "coalesce":
        return call("coalesce", kind + "?", inner(kind), maybe_null(kind), **made(kind))
    if general == "if":
        return call("if", kind + "?", inner("bool"), inner(kind), maybe_null(kind), **made(kind))
    match kind:
        case "bool":
            return draw(conditions(depth))
        case "int":
            op = one_of(
                "add", "sub", "mul", "mod", "neg", "abs", "min2", "max2", "length", "floor",
                "to_int", "parse_int", "index_of", "ip_version", "item", "list length", *PARTS,
            )  # fmt: skip
            if op in PARTS:
                return call(op, "int?", inner("timestamp"), const(one_of(*ZONES)))
            if op in ("length", "parse_int"):
                return call(op, "int?", inner("string"))
            if op == "list length":
                return call("length", "int?", draw(lists()))
            if op == "item":
                return call(op, "int?", ref("n", "list"), inner("int"))
            if op == "index_of":
                return call(op, "int?", inner("string"), inner("string"))
            if op in ("to_int", "ip_version"):
                return call(op, "int?", inner({"to_int": "float"}.get(op, "ip")))
            if op in ("neg", "abs", "floor"):
                return call(op, "int?", inner("int"))
            return call(op, "int?", inner("int"), inner("int"))
        case "float":
            op = one_of(
                "add", "sub", "mul", "div", "mod", "neg", "abs", "min2", "max2", "to_float",
                "floor", "ceil", "round", "round_to", "sqrt", "log", "log10", "exp", "power",
                "parse_float", "distance_km",
            )  # fmt: skip
            if op == "distance_km":
                return call(op, "float?", *(draw(degrees) for _ in range(4)))
            if op == "parse_float":
                return call(op, "float?", inner("string"))
            if op == "round_to":
                return call(op, "float?", inner("float"), const(draw(st.integers(0, 3))))
            if op in ("sqrt", "log", "log10", "exp"):
                return call(op, "float?", inner("float"))
            if op == "to_float":
                return call(op, "float?", inner(one_of("int", "decimal")))
            if op in ("neg", "abs", "floor", "ceil", "round"):
                return call(op, "float?", inner("float"))
            return call(op, "float?", inner("float"), inner("float"))
        case "decimal":
            op = one_of("add", "sub", "neg", "abs", "min2", "max2", "rescale")
            if op == "rescale":
                return call(op, "decimal?", inner("int"), scale=2)
            if op in ("neg", "abs"):
                return call(op, "decimal?", inner("decimal"), scale=2)
            return call(op, "decimal?", inner("decimal"), inner("decimal"), scale=2)
        case "string":
            return draw(text_makers(depth))
        case "timestamp":
            if one_of("add", "parse") == "parse":
                return call("parse_timestamp", "timestamp?", inner("string"))
            return call(one_of("add", "sub"), "timestamp?", inner("timestamp"), inner("duration"))
        case "duration":
            op = one_of("add", "sub", "mul", "mod", "between", "clock")
            if op == "clock":
                zone = const(one_of(*ZONES))
                return call("time_of_day", "duration?", inner("timestamp"), zone)
            if op == "between":
                return call("sub", "duration?", inner("timestamp"), inner("timestamp"))
            return call(op, "duration?", inner("duration"), inner("int" if op == "mul" else kind))
    return draw(leaf(kind))


degrees = st.one_of(
    st.sampled_from([ref("f", "float"), ref("f2", "float?")]),
    st.floats(-200, 200).map(const),
)
PARTS = ("year", "month", "day", "week", "weekday", "hour", "minute", "second", "local_day")


@st.composite
def text_makers(draw: st.DrawFn, depth: int) -> Expr:
    def inner(of: str) -> Expr:
        return draw(expressions(of, depth - 1))

    op = draw(
        st.sampled_from(
            [
                *("lower", "upper", "trim", "trim_start", "trim_end", "concat", "substring"),
                *("replace", "join", "extract", "item", "to_text", "day_text", "subnet"),
            ]
        )
    )
    match op:
        case "concat":
            return call(op, "string?", inner("string"), inner("string"), const("!"))
        case "substring":
            count = [inner("int")] if draw(st.booleans()) else []
            return call(op, "string?", inner("string"), inner("int"), *count)
        case "replace":
            return call(op, "string?", inner("string"), inner("string"), inner("string"))
        case "join":
            return call(op, "string?", draw(lists()), const(", "))
        case "extract":
            pattern, group = draw(st.sampled_from([("a(.?)", 1), ("[a-z]+", 0), ("(x)|b", 1)]))
            return call(op, "string?", inner("string"), const(pattern), const(group))
        case "item":
            return call(op, "string?", draw(lists()), inner("int"))
        case "to_text":
            return call(op, "string?", inner(draw(st.sampled_from(sorted(FIELDS)))))
        case "day_text":
            return call(op, "string?", inner("int"))
        case "subnet":
            return call(op, "string?", inner("ip"), const(draw(st.sampled_from([0, 24, 64, 129]))))
    return call(op, "string?", inner("string"))


@st.composite
def lists(draw: st.DrawFn) -> Expr:
    if draw(st.booleans()):
        return ref("l", "list?", item=Type(Kind.STRING))
    text = draw(expressions("string", 1))
    return call("split", "list?", text, const(draw(st.sampled_from([".", "", " "]))))


@st.composite
def conditions(draw: st.DrawFn, depth: int) -> Expr:
    def inner(of: str) -> Expr:
        return draw(expressions(of, depth - 1))

    family = draw(
        st.sampled_from(["logic", "logic", "compare", "compare", "equal", "null", "in", "text"])
    )
    any_kind = draw(st.sampled_from(sorted(FIELDS)))
    match family:
        case "logic":
            op = draw(st.sampled_from(["and", "or", "not"]))
            args = [inner("bool") for _ in range(1 if op == "not" else 2)]
            return call(op, "bool?", *args)
        case "compare":
            kind = draw(st.sampled_from(NUMBERS))
            op = draw(st.sampled_from(["lt", "le", "gt", "ge"]))
            return call(op, "bool?", inner(kind), inner(kind))
        case "equal":
            op = draw(st.sampled_from(["eq", "ne", "is_same"]))
            return call(op, "bool?", inner(any_kind), inner(any_kind))
        case "null":
            op = draw(st.sampled_from(["is_null", "exists"]))
            return call(op, "bool", inner(any_kind))
        case "in":
            return draw(memberships(any_kind, depth))
    return draw(text_tests(depth))


@st.composite
def memberships(draw: st.DrawFn, kind: str, depth: int) -> Expr:
    item = Type(Kind(kind), **made(kind))
    tested = draw(expressions(kind, depth - 1))
    if kind in ("string", "int") and draw(st.integers(0, 2)) == 0:
        return call("in", "bool?", tested, draw(lists()) if kind == "string" else ref("n", "list"))
    if draw(st.booleans()):
        many = draw(st.lists(st.none() | SCALARS[kind], max_size=12))
        return call("in", "bool?", tested, const(tuple(many), "list", item=item))
    members = draw(st.lists(expressions(kind, depth - 1), min_size=1, max_size=3))
    return call("in", "bool?", tested, call("array", "list", *members, item=item))


@st.composite
def text_tests(draw: st.DrawFn, depth: int) -> Expr:
    ops = ["like", "regex", "in_cidr", "starts_with", "ends_with", "contains", "is_private"]
    op = draw(st.sampled_from(ops))
    if op == "is_private":
        return call(op, "bool?", draw(expressions("ip", depth - 1)))
    literals = {
        "like": ["%", "a%", "%b", "_", "", "%.%", "b%_"],
        "regex": ["^a", "(?i)A", "b$", "", r"\d+", "a|b"],
        "in_cidr": ["10.0.0.0/8", "::/0", "2001:db8::/32"],
    }
    text = draw(expressions("ip" if op == "in_cidr" else "string", depth - 1))
    if op in literals:
        return call(op, "bool?", text, const(draw(st.sampled_from(literals[op]))))
    part = draw(st.one_of(texts.map(const), expressions("string", depth - 1)))
    return call(op, "bool?", text, part)


def scalar(strings: Strings, kind: Kind, value: float) -> object:
    if value != value if kind is Kind.FLOAT else value == NULL:
        return None
    if kind is Kind.BOOL:
        return bool(value)
    if kind is Kind.LIST:
        return list_of(strings.text(int(value)))
    if kind in (Kind.STRING, Kind.ENUM, Kind.IP):
        return strings.text(int(value))
    return value


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(sorted(FIELDS)).flatmap(lambda kind: expressions(kind, 3)) | lists(),
        max_size=4,
    ),
    st.lists(rows, min_size=1, max_size=3),
)
def test_columns_equal_scalar_evaluation(
    exprs: list[Expr], batches: list[list[tuple[str, int, Mapping[Path, object]]]]
) -> None:
    strings = Strings()
    atoms = Atoms(SCHEMA, strings)
    derived = [atoms.derived("A", expr) for expr in exprs]
    conditions = [expr for expr in exprs if expr.type.kind is Kind.BOOL]
    tests = [atoms.atom("A", condition) for condition in conditions]
    for events in batches:  # tables by code grow from batch to batch
        evaluated = atoms.evaluate(batch_of(SCHEMA, strings, events))
        for expr, node in zip(exprs, derived, strict=True):
            column = evaluated.values(node).tolist()
            for (name, _, record), value in zip(events, column, strict=True):
                if name == "A":
                    expected = evaluate(expr, Environment(record, {}, ()))
                    assert scalar(strings, expr.type.kind, value) == expected
        for condition, test in zip(conditions, tests, strict=True):
            expected_mask = [
                name == "A" and evaluate(condition, Environment(record, {}, ())) is True
                for name, _, record in events
            ]
            assert evaluated.mask(test).tolist() == expected_mask


def above(limit: int) -> Expr:
    return call("gt", "bool", ref("i", "int"), const(limit))


def test_equal_conditions_share_an_atom() -> None:
    atoms = Atoms(SCHEMA, Strings())
    assert atoms.atom("A", above(3)) == atoms.atom("A", above(3))
    assert atoms.atom("A", above(3)) != atoms.atom("A", above(4))
    assert atoms.atom("A", above(3)) != atoms.atom("B", above(3))


def test_a_shared_part_is_computed_once_per_batch() -> None:
    seen: list[str] = []

    class Watched(Strings):
        def text(self, code: int) -> str:
            seen.append(super().text(code))
            return seen[-1]

    strings = Watched()
    atoms = Atoms(SCHEMA, strings)
    lowered = call("lower", "string", ref("s", "string"))
    masks = [
        atoms.atom("B", call("starts_with", "bool", lowered, const("a"))),
        atoms.atom("B", call("eq", "bool", lowered, const("ab"))),
    ]
    events = [("B", 0, {("s",): text}) for text in ["AB", "AB", "x", "AB"]]
    for _ in range(3):
        evaluated = atoms.evaluate(batch_of(SCHEMA, strings, events))
        assert [evaluated.mask(mask).tolist() for mask in masks] == [[True, True, False, True]] * 2
    assert sorted(seen) == ["AB", "ab", "x", "x"]  # each text once for lower, once for starts_with


def test_atom_without_condition_is_the_type_test() -> None:
    strings = Strings()
    atoms = Atoms(SCHEMA, strings)
    batch = batch_of(SCHEMA, strings, [("B", 0, {}), ("A", 0, {}), ("B", 0, {})])
    assert atoms.evaluate(batch).mask(atoms.atom("B", None)).tolist() == [True, False, True]


def test_atoms_added_later_join_the_next_batch() -> None:
    strings = Strings()
    atoms = Atoms(SCHEMA, strings)
    atoms.atom("A", above(1))
    batch = batch_of(SCHEMA, strings, [("A", 0, {("i",): 7})])
    atoms.evaluate(batch)
    assert atoms.evaluate(batch).mask(atoms.atom("A", above(5))).tolist() == [True]


def test_empty_batch_gives_empty_masks() -> None:
    strings = Strings()
    atoms = Atoms(SCHEMA, strings)
    pair = call("contains", "bool?", ref("s", "string"), ref("s2", "string?"))
    ids = [atoms.atom("A", above(1)), atoms.atom("A", pair)]
    evaluated = atoms.evaluate(batch_of(SCHEMA, strings, []))
    assert [evaluated.mask(each).shape for each in ids] == [(0,), (0,)]


def test_pattern_that_does_not_parse_is_refused_before_events() -> None:
    atoms = Atoms(SCHEMA, Strings())
    with pytest.raises(ValueError, match="regular expression"):
        atoms.atom("A", call("regex", "bool", ref("s", "string"), const("(")))


def test_references_to_other_steps_are_refused() -> None:
    atoms = Atoms(SCHEMA, Strings())
    with pytest.raises(ValueError, match="single event"):
        atoms.atom("A", call("eq", "bool", ref("i", "int", step=0), const(1)))


def test_masks_have_one_entry_per_row_for_constant_conditions() -> None:
    strings = Strings()
    atoms = Atoms(SCHEMA, strings)
    always = Call(Type(Kind.BOOL), "not", (Const(Type(Kind.BOOL), False, SPAN),), SPAN)
    batch = batch_of(SCHEMA, strings, [("A", 0, {}), ("B", 0, {})])
    mask = atoms.evaluate(batch).mask(atoms.atom("A", always))
    assert mask.dtype == np.bool_
    assert mask.tolist() == [True, False]


def test_random_expressions_use_every_operator() -> None:
    missing = set(OPERATORS) - {"registered"} - LOOKUPS

    @settings(max_examples=300, deadline=None, database=None, phases=[Phase.generate])
    @given(st.sampled_from(sorted(FIELDS)).flatmap(lambda kind: expressions(kind, 2)))
    def collect(expr: Expr) -> None:
        missing.difference_update(node.op for node in walk(expr) if isinstance(node, Call))

    for number in range(40):
        seed(number)(collect)()
        if not missing:
            break
    assert not missing
