"""Which columns a schema has."""

from __future__ import annotations

import pytest
from model_builders import SPAN, call, const, event, field, ref

from dsl.model import Aggregate, Bind, Expr, Key, Rule, Skip, Step, Symbol, Template, Type
from matcher.schema import Schema, leaves

GEO = field(
    "geo", "record?", fields=(field("lat", "float", source="geo.lat"), field("lon", "float"))
)
A = event("A", field("k", "string"), field("x", "int"), field("unread", "int"), GEO)
B = event("B", field("k", "string"), field("x", "float?"), field("n", "int"))
C = event("C", field("k", "string"))
EVENTS = {each.name: each for each in (A, B, C)}


def rule(condition: Expr | None = None, where: Expr | None = None) -> Rule:
    step = Step(0, "a", "A", condition, (("k",),), False, False, SPAN)
    other = Step(1, "b", "B", None, (("k",),), False, False, SPAN)
    symbols = (Symbol("A", condition, (("k",),)), Symbol("B", None, (("k",),)))
    string = Type(field("k", "string").type.kind)
    return Rule(
        name="r", title=None, severity="low", tags=(), doc=None, keys=(Key("k", string),),
        alphabet=symbols, steps=(step, other), pattern=Bind(0), within_ms=1, where=where,
        skip=Skip.NONE, suppress=None, message=Template(()), attributes=(), notify=(),
        version="0", pattern_version="0", span=SPAN,
    )  # fmt: skip


def test_only_what_rules_read_is_kept() -> None:
    condition = call("gt", "bool?", ref("geo.lat", "float?"), const(1.0))
    where = call("gt", "bool", ref("x", "float?", step=1), const(1.0))
    schema = Schema.of(EVENTS, [rule(condition, where)])
    assert [each.name for each in schema.events] == ["A", "B"]
    assert [leaf.path for leaf in leaves(schema.events[0])] == [("ts",), ("k",), ("geo", "lat")]
    assert [leaf.path for leaf in leaves(schema.events[1])] == [("ts",), ("k",), ("x",)]


def test_fields_of_aggregates_are_read() -> None:
    total = Aggregate(B.fields[3].type, "sum", 1, ("n",), False, SPAN)
    schema = Schema.of(EVENTS, [rule(where=call("gt", "bool", total, const(1)))])
    assert schema.type_of("B", ("n",)).kind == "int"


def test_columns_are_shared_where_kinds_agree() -> None:
    schema = Schema([A, B])
    assert schema.column("A", ("k",)) == schema.column("B", ("k",))
    assert schema.column("A", ("ts",)) == schema.column("B", ("ts",))


def test_columns_are_apart_where_kinds_or_scales_differ() -> None:
    schema = Schema([A, B])
    assert schema.column("A", ("x",)) != schema.column("B", ("x",))
    cents = event("P", field("x", "decimal", scale=2))
    mills = event("Q", field("x", "decimal", scale=3))
    schema = Schema([cents, mills])
    assert schema.column("P", ("x",)) != schema.column("Q", ("x",))


def test_fields_of_an_optional_record_may_be_null() -> None:
    schema = Schema([A])
    assert schema.nullable("A", ("geo", "lat"))
    assert not schema.nullable("A", ("x",))


def test_sources_inside_a_record_may_be_relative_or_whole() -> None:
    sources = {leaf.path: leaf.source for leaf in leaves(A)}
    assert sources["geo", "lat"] == ("geo", "lat")
    assert sources["geo", "lon"] == ("geo", "lon")


def test_unread_field_has_no_column() -> None:
    with pytest.raises(KeyError):
        Schema.of(EVENTS, [rule()]).column("A", ("unread",))
