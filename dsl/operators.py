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
    "to_int": Operator("float", "int", "cut off towards zero; null beyond 64 bits"),
    "to_text": Operator("any", "string", "as messages show it"),
    "rescale": Operator("int | decimal", "decimal", "exact, to the greater scale of `Call.type`"),
    "parse_int": Operator("string", "int", "the whole number written there, or null"),
    "parse_float": Operator("string", "float", "the number written there, or null"),
    "parse_timestamp": Operator("string", "timestamp", "the RFC 3339 time written there, or null"),
    "lower": Operator("string", "string", "in lower case"),
    "upper": Operator("string", "string", "in upper case"),
    "trim": Operator("string", "string", "without white space at both ends"),
    "trim_start": Operator("string", "string", "without white space at the start"),
    "trim_end": Operator("string", "string", "without white space at the end"),
    "length": Operator("string | list", "int", "number of characters or items"),
    "starts_with": Operator("string, string", "bool", "the first begins with the second"),
    "ends_with": Operator("string, string", "bool", "the first ends with the second"),
    "contains": Operator("string, string", "bool", "the second occurs in the first"),
    "index_of": Operator("string, string", "int", "where the second begins, from 0, or null"),
    "concat": Operator("string, …", "string", "one after another; null when too long"),
    "substring": Operator(
        "string, int | string, int, int", "string", "from a place (negative: from the end), so many"
    ),
    "replace": Operator("string, string, string", "string", "every second as the third"),
    "split": Operator("string, string", "list", "the parts between the second"),
    "join": Operator("list, string", "string", "the items, the second between them"),
    "extract": Operator(
        "string, literal, literal", "string", "what RE2 finds: the group of that number, or null"
    ),
    "item": Operator("list, int", "item", "at a place from 0 (negative: from the end), or null"),
    "abs": Operator("number | duration", "same", "without its sign"),
    "floor": Operator("int | float", "same", "the next whole number below"),
    "ceil": Operator("int | float", "same", "the next whole number above"),
    "round": Operator(
        "int | float", "same", "the nearest whole number; a half goes to the even one"
    ),
    "round_to": Operator("float, literal", "float", "the nearest number of so many places"),
    "sqrt": Operator("float", "float", "square root; null of a negative number"),
    "log": Operator("float", "float", "natural logarithm; null unless positive"),
    "log10": Operator("float", "float", "logarithm to base 10; null unless positive"),
    "exp": Operator("float", "float", "e to that power"),
    "power": Operator("float, float", "float", "the first to the power of the second"),
    "min2": Operator("number | timestamp | duration, same", "same", "the lesser"),
    "max2": Operator("number | timestamp | duration, same", "same", "the greater"),
    "distance_km": Operator(
        "float, float, float, float", "float", "great-circle distance of two (latitude, longitude)"
    ),
    **{
        part: Operator("timestamp, literal", "duration" if part == "time_of_day" else "int", what)
        for part, what in {
            "year": "year, in the time zone",
            "month": "month, 1 to 12, in the time zone",
            "day": "day of the month, in the time zone",
            "week": "week of the year as in ISO 8601, in the time zone",
            "weekday": "1 for Monday to 7 for Sunday, in the time zone",
            "hour": "hour, 0 to 23, in the time zone",
            "minute": "minute of the hour, in the time zone",
            "second": "second of the minute",
            "time_of_day": "what the clock shows, in the time zone",
            "local_day": "days from 1970-01-01, in the time zone",
        }.items()
    },
    "day_text": Operator("int", "string", "a `local_day` as 2024-12-10"),
    "lookup": Operator(
        "literal, literal, any, …",
        "field",
        "of the table named first, the field named second in the row with this key; null if there "
        "is no such row; in a table of networks the row of the longest that holds the address",
    ),
    "position": Operator("", "int", "the event's place in its log; written by no rule"),
    "listed": Operator(
        "literal, any, …", "bool", "the table or list named first has a row with this key"
    ),
    "in_cidr": Operator("ip, literal", "bool", "the address lies in the network"),
    "is_private": Operator("ip", "bool", "the address is not routed on the internet"),
    "ip_version": Operator("ip", "int", "4 or 6"),
    "subnet": Operator("ip, int", "string", "the network of so many bits around the address"),
    "registered": Operator(
        "literal, literal, any, …", "any", "a function in Python, by its name and version"
    ),
}


LOOKUPS = frozenset({"lookup", "listed", "position"})
"""Operators on reference data.  Which row there is depends on when, so they are evaluated as of a
position in the log: that of the event whose fields the key reads.  When it reads several events, or
none, it is that of the event being tested, or else of the one bound last."""


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """Over the events of one step; null values are left out."""

    takes: frozenset[Kind] | None
    gives: Literal["int", "float", "same", "list"]
    meaning: str


_NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
_ORDERED = _NUMBERS | {Kind.TIMESTAMP, Kind.DURATION}

AGGREGATES: Mapping[str, AggregateFunction] = {
    "count": AggregateFunction(None, "int", "number of events, or of those where it is true"),
    "sum": AggregateFunction(_NUMBERS | {Kind.DURATION}, "same", "sum"),
    "avg": AggregateFunction(_NUMBERS, "float", "mean"),
    "min": AggregateFunction(_ORDERED, "same", "least"),
    "max": AggregateFunction(_ORDERED, "same", "greatest"),
    "first": AggregateFunction(None, "same", "of the first event"),
    "last": AggregateFunction(None, "same", "of the last event"),
    "nth": AggregateFunction(None, "same", "of the event at a place from 0: `a[2].x`"),
    "prev": AggregateFunction(None, "same", "of the event bound before the one being tested"),
    "distinct": AggregateFunction(None, "int", "number of different values"),
    "list": AggregateFunction(None, "list", "all values, in order"),
    "stddev": AggregateFunction(_NUMBERS, "float", "standard deviation of a sample"),
    "quantile": AggregateFunction(_NUMBERS, "float", "the value below which a share of them lies"),
    "top": AggregateFunction(None, "list", "the most frequent values"),
}
"""Functions of a step: `count(a)`, `sum(a.x)`, `first(a).x`."""
