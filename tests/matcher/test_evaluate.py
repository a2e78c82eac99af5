"""The scalar evaluator: three-valued logic, arithmetic at its edges, aggregates."""

from __future__ import annotations

import pytest
from model_builders import SPAN, call, const, ref, type_of

from dsl.model import Aggregate, Expr, KeyRef
from dsl.operators import LOOKUPS, OPERATORS
from matcher.evaluate import NULL_AWARE, STRICT, Environment, evaluate

NOTHING = Environment({}, {}, ())
INT_MAX = 2**63 - 1


def value_of(op: str, kind: str, *values: object) -> object:
    args = [value if isinstance(value, tuple) else (value, "") for value in values]
    return evaluate(call(op, kind, *(const(*arg) for arg in args)), NOTHING)


def test_every_operator_of_the_language_has_a_meaning() -> None:
    assert set(OPERATORS) == set(STRICT) | set(NULL_AWARE) | LOOKUPS


@pytest.mark.parametrize(
    ("op", "x", "y", "expected"),
    [
        ("and", False, None, False),
        ("and", None, False, False),
        ("and", True, None, None),
        ("or", None, True, True),
        ("or", False, None, None),
        ("eq", None, None, None),
        ("ne", 1, None, None),
        ("is_same", None, None, True),
        ("is_same", 1, None, False),
        ("lt", 1, 2, True),
        ("starts_with", "abc", "ab", True),
        ("contains", "abc", None, None),
        ("like", "a\nb", "a%b", True),
        ("like", "a.b", "a_b", True),
        ("like", "axb", "a.b", False),
        ("like", "ab", "b", False),
        ("regex", "xAy", "(?i)a", True),
        ("in_cidr", "10.1.2.3", "10.0.0.0/8", True),
        ("in_cidr", "::1", "0.0.0.0/0", False),
    ],
)
def test_conditions_are_three_valued(op: str, x: object, y: object, expected: object) -> None:
    assert value_of(op, "bool?", x, y) is expected


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("add", (INT_MAX, 1), None),
        ("sub", (-INT_MAX, 1), None),  # the least int64 stands for null
        ("mul", (2**62, 2), None),
        ("mod", (-7, 3), 2),
        ("mod", (7, 0), None),
        ("min2", (3, 2), 2),
    ],
)
def test_ints_out_of_64_bits_are_null(op: str, values: tuple[int, ...], expected: object) -> None:
    assert value_of(op, "int?", *values) == expected


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("div", (1.0, 0.0), None),
        ("div", (0.0, 0.0), None),
        ("mul", (1e308, 10.0), float("inf")),
        ("sub", (float("inf"), float("inf")), None),
        ("mod", (-7.5, 2.0), 0.5),
        ("round", (2.5,), 2.0),
        ("floor", (-0.5,), -1.0),
        ("ceil", (float("inf"),), float("inf")),
    ],
)
def test_floats_that_are_no_number_are_null(
    op: str, values: tuple[float, ...], expected: object
) -> None:
    assert value_of(op, "float?", *values) == expected


def test_decimals_convert_by_their_scale() -> None:
    amount = const(1050, "decimal", scale=2)
    assert evaluate(call("to_float", "float", amount), NOTHING) == 10.5
    assert evaluate(call("rescale", "decimal", amount, scale=4), NOTHING) == 105_000
    assert evaluate(call("rescale", "decimal", const(3), scale=2), NOTHING) == 300


@pytest.mark.parametrize(
    ("x", "members", "expected"),
    [(1, (1, None), True), (2, (1, None), False), (None, (1,), None), (1, (), False)],
)
def test_null_members_of_a_list_do_not_count(
    x: object, members: tuple[object, ...], expected: object
) -> None:
    assert value_of("in", "bool?", x, (members, "list")) is expected


def test_choice_takes_the_else_branch_when_null() -> None:
    assert value_of("if", "int", None, 1, 2) == 2
    assert value_of("coalesce", "int", None, 2) == 2


def test_field_of_a_step_that_bound_nothing_is_null() -> None:
    env = Environment(None, {1: [{("x",): 4}]}, ("k",))
    assert evaluate(ref("x", "int", step=0), env) is None
    assert evaluate(ref("x", "int", step=1), env) == 4
    assert evaluate(KeyRef(type_of("string"), 0, SPAN), env) == "k"


def over(function: str, values: list[object], kind: str = "int?", **attributes: object) -> object:
    expr: Expr = Aggregate(type_of(kind, **attributes), function, 0, ("x",), False, SPAN)
    return evaluate(expr, Environment(None, {0: [{("x",): value} for value in values]}, ()))


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        ("sum", [1, None, 2], 3),
        ("sum", [], None),
        ("sum", [None], None),
        ("sum", [INT_MAX, 1, -5], None),
        ("sum", [0.1, 0.2, 0.3], 0.1 + 0.2 + 0.3),
        ("avg", [1, None, 2], 1.5),
        ("avg", [], None),
        ("min", [3, None, 2], 2),
        ("max", [], None),
        ("count", [1, None], 1),
        ("distinct", ["a", None, "a", "b"], 2),
        ("distinct", [], 0),
        ("first", [None, 1], None),
        ("last", [1, 2], 2),
        ("list", [1, None, 1], (1, 1)),
    ],
)
def test_aggregates_leave_out_nulls(function: str, values: list[object], expected: object) -> None:
    assert over(function, values) == expected


def test_average_of_decimals_is_exact_before_it_is_divided() -> None:
    assert over("avg", [10, 20, 31], "float?", scale=1) == 6.1 / 3


def test_count_of_a_step_counts_events() -> None:
    expr = Aggregate(type_of("int"), "count", 0, None, False, SPAN)
    assert evaluate(expr, Environment(None, {0: [{}, {}]}, ())) == 2
    assert evaluate(expr, NOTHING) == 0
