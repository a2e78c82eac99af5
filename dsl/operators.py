"""Every operator and function of checked expressions: what it takes and what it means.

`Call.op` is one of these names.  Common to all: null in, null out, unless the entry says
otherwise; `and`, `or`, `not` are three-valued; an int out of 64 bits, a division by zero and a
float that is not a number are null.  The checker has converted the operands of arithmetic and
comparisons to one kind (and scale).  Evaluators and the language reference follow this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dsl.model import Kind


@dataclass(frozen=True, slots=True)
class Operator:
    """`takes` and `gives` name types; `number` is int, float or decimal, the same throughout."""

    takes: str
    gives: str
    meaning: str


OPERATORS: Mapping[str, Operator] = {
    "add": Operator("number, number | duration, duration | timestamp, duration", "first", "sum"),
    "sub": Operator(
        "number, number | duration, duration | timestamp, duration | timestamp, timestamp",
        "first; duration of two timestamps",
        "difference; `timestamp - timestamp` is a duration in ms",
    ),
    "mul": Operator("int, int | float, float | duration, int", "first", "product"),
    "div": Operator("float, float", "float", "quotient; null when dividing by zero"),
    "mod": Operator("int, int | float, float", "first", "remainder with the divisor's sign"),
    "neg": Operator("number | duration", "same", "sign turned"),
    "eq": Operator("any, same", "bool", "equal"),
    "ne": Operator("any, same", "bool", "different; null when either side is null"),
    "lt": Operator("number | timestamp | duration, same", "bool", "less"),
    "le": Operator("number | timestamp | duration, same", "bool", "less or equal"),
    "gt": Operator("number | timestamp | duration, same", "bool", "greater"),
    "ge": Operator("number | timestamp | duration, same", "bool", "greater or equal"),
    "and": Operator("bool, bool", "bool", "both; false wins over null"),
    "or": Operator("bool, bool", "bool", "either; true wins over null"),
    "not": Operator("bool", "bool", "the opposite; null stays null"),
    "is_null": Operator("any", "bool", "true when null, never null itself"),
    "is_same": Operator("any, same", "bool", "equal or both null, never null itself"),
    "exists": Operator("any", "bool", "true when not null, never null itself"),
    "coalesce": Operator("any, same", "same", "the first unless it is null, then the second"),
    "if": Operator("bool, any, same", "same", "second when the first is true, else the third"),
    "in": Operator(
        "any, list of same", "bool", "equal to a member; members that are null do not count"
    ),
    "array": Operator("any, …", "list", "its arguments as a list; only as the list of `in`"),
    "like": Operator("string, literal", "bool", "whole text fits; `%` any text, `_` any character"),
    "regex": Operator("string, literal", "bool", "RE2 finds the pattern somewhere in the text"),
    "to_float": Operator("int | decimal", "float", "the same number as a float"),
    "rescale": Operator("int | decimal", "decimal", "exact, to the greater scale of `Call.type`"),
    "lower": Operator("string", "string", "in lower case"),
    "upper": Operator("string", "string", "in upper case"),
    "trim": Operator("string", "string", "without white space at both ends"),
    "length": Operator("string", "int", "number of characters"),
    "starts_with": Operator("string, string", "bool", "the first begins with the second"),
    "ends_with": Operator("string, string", "bool", "the first ends with the second"),
    "contains": Operator("string, string", "bool", "the second occurs in the first"),
    "abs": Operator("number | duration", "same", "without its sign"),
    "floor": Operator("int | float", "same", "the next whole number below"),
    "ceil": Operator("int | float", "same", "the next whole number above"),
    "round": Operator(
        "int | float", "same", "the nearest whole number; a half goes to the even one"
    ),
    "min2": Operator("number | timestamp | duration, same", "same", "the lesser"),
    "max2": Operator("number | timestamp | duration, same", "same", "the greater"),
    "in_cidr": Operator("ip, literal", "bool", "the address lies in the network"),
}


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """Over the events of one step; null values of the field are left out."""

    takes: frozenset[Kind] | None
    gives: Literal["int", "float", "same"]
    meaning: str


_NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
_ORDERED = _NUMBERS | {Kind.TIMESTAMP, Kind.DURATION}

AGGREGATES: Mapping[str, AggregateFunction] = {
    "count": AggregateFunction(None, "int", "number of events; takes the step alone"),
    "sum": AggregateFunction(_NUMBERS | {Kind.DURATION}, "same", "sum"),
    "avg": AggregateFunction(_NUMBERS, "float", "mean"),
    "min": AggregateFunction(_ORDERED, "same", "least"),
    "max": AggregateFunction(_ORDERED, "same", "greatest"),
    "first": AggregateFunction(None, "same", "of the first event"),
    "last": AggregateFunction(None, "same", "of the last event"),
    "distinct": AggregateFunction(None, "int", "number of different values"),
}
"""Functions of a step: `count(a)`, `sum(a.x)`, `first(a).x`."""


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` has a set of kinds per argument; `gives` is a kind, or None for the first's type."""

    op: str
    takes: tuple[frozenset[Kind], ...]
    gives: Kind | None


_TEXT = frozenset({Kind.STRING, Kind.ENUM})

FUNCTIONS: Mapping[str, Function] = {
    "lower": Function("lower", (_TEXT,), Kind.STRING),
    "upper": Function("upper", (_TEXT,), Kind.STRING),
    "trim": Function("trim", (_TEXT,), Kind.STRING),
    "length": Function("length", (_TEXT,), Kind.INT),
    "starts_with": Function("starts_with", (_TEXT, _TEXT), Kind.BOOL),
    "ends_with": Function("ends_with", (_TEXT, _TEXT), Kind.BOOL),
    "contains": Function("contains", (_TEXT, _TEXT), Kind.BOOL),
    "abs": Function("abs", (_NUMBERS | {Kind.DURATION},), None),
    "floor": Function("floor", (_NUMBERS,), None),
    "ceil": Function("ceil", (_NUMBERS,), None),
    "round": Function("round", (_NUMBERS,), None),
}
"""Functions of values, called by name; `min`, `max` and `in_cidr` have rules of their own."""

LATER_FUNCTIONS = frozenset(
    {
        "all",
        "any",
        "business_hours",
        "distance_km",
        "first_seen",
        "labels",
        "list",
        "prev",
        "speed_kmh",
    }
)
"""Functions of the language that are not available yet."""
