"""Functions that rules call by name: what they take, and the operator they become.

Those with rules of their own (`min`, `in_cidr`, `distance_km` …) are in `SPECIAL`, and their checks
in `dsl/check`.  An argument may be named; one with a default may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsl.model import Kind, Type
from dsl.operators import AGGREGATES, OPERATORS

LEFT_OUT = object()
"""The default of an argument that is then not passed at all."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A float takes every number, a timestamp or ip also its literal; `literal`: nothing else."""

    name: str
    kinds: frozenset[Kind]
    literal: bool = False
    required: bool = True
    default: object = LEFT_OUT


@dataclass(frozen=True, slots=True)
class Function:
    """`gives` is a type, or None for that of the first argument."""

    op: str
    parameters: tuple[Parameter, ...]
    gives: Type | None


TEXT = frozenset({Kind.STRING, Kind.ENUM, Kind.IP})
NUMBER = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
_LIST = frozenset({Kind.LIST})
_INT = frozenset({Kind.INT})
_FLOAT = frozenset({Kind.FLOAT})
_IP = frozenset({Kind.IP})
_TIMESTAMP = frozenset({Kind.TIMESTAMP})
_DURATION = frozenset({Kind.DURATION})
SCALAR = frozenset(Kind) - {Kind.RECORD, Kind.NULL}

STRING, STRING_MAYBE = Type(Kind.STRING), Type(Kind.STRING, optional=True)
WHOLE, WHOLE_MAYBE = Type(Kind.INT), Type(Kind.INT, optional=True)
FLOAT_MAYBE, TRUTH = Type(Kind.FLOAT, optional=True), Type(Kind.BOOL)

_TEXT = Parameter("text", TEXT)
ZONE = Parameter("zone", frozenset({Kind.STRING}), literal=True, required=False, default="UTC")


def _of(op: str, gives: Type | None, *parameters: Parameter) -> tuple[Function, ...]:
    return (Function(op, parameters, gives),)


def _whole(name: str, *, required: bool = True) -> Parameter:
    return Parameter(name, _INT, required=required)


FUNCTIONS: Mapping[str, tuple[Function, ...]] = {
    # texts
    "lower": _of("lower", STRING, _TEXT),
    "upper": _of("upper", STRING, _TEXT),
    "trim": _of("trim", STRING, _TEXT),
    "trim_start": _of("trim_start", STRING, _TEXT),
    "trim_end": _of("trim_end", STRING, _TEXT),
    "length": _of("length", WHOLE, Parameter("text", TEXT | _LIST)),
    "starts_with": _of("starts_with", TRUTH, _TEXT, Parameter("part", TEXT)),
    "ends_with": _of("ends_with", TRUTH, _TEXT, Parameter("part", TEXT)),
    "index_of": _of("index_of", WHOLE_MAYBE, _TEXT, Parameter("part", TEXT)),
    "substring": _of("substring", STRING, _TEXT, _whole("start"), _whole("length", required=False)),
    "replace": _of("replace", STRING_MAYBE, _TEXT, Parameter("old", TEXT), Parameter("new", TEXT)),
    "split": _of(
        "split",
        Type(Kind.LIST, optional=True, item=STRING),
        _TEXT,
        Parameter("separator", TEXT),
    ),
    "join": _of(
        "join",
        STRING_MAYBE,
        Parameter("items", _LIST),
        Parameter("separator", TEXT, required=False, default=", "),
    ),
    "string": _of("to_text", STRING, Parameter("value", SCALAR)),
    # numbers
    "abs": _of("abs", None, Parameter("number", NUMBER | _DURATION)),
    "floor": _of("floor", None, Parameter("number", NUMBER)),
    "ceil": _of("ceil", None, Parameter("number", NUMBER)),
    "sqrt": _of("sqrt", FLOAT_MAYBE, Parameter("number", _FLOAT)),
    "log": _of("log", FLOAT_MAYBE, Parameter("number", _FLOAT)),
    "log10": _of("log10", FLOAT_MAYBE, Parameter("number", _FLOAT)),
    "exp": _of("exp", FLOAT_MAYBE, Parameter("number", _FLOAT)),
    "power": _of("power", FLOAT_MAYBE, Parameter("base", _FLOAT), Parameter("exponent", _FLOAT)),
    # addresses
    "is_private": _of("is_private", TRUTH, Parameter("address", _IP)),
    "ip_version": _of("ip_version", WHOLE, Parameter("address", _IP)),
    "subnet": _of("subnet", STRING_MAYBE, Parameter("address", _IP), _whole("bits")),
    # parts of a timestamp
    **{
        name: _of(name, WHOLE_MAYBE, Parameter("time", _TIMESTAMP), ZONE)
        for name in ("year", "month", "day", "week", "weekday", "hour", "minute", "second")
    },
    "time_of_day": _of(
        "time_of_day", Type(Kind.DURATION, optional=True), Parameter("time", _TIMESTAMP), ZONE
    ),
}

SPECIAL: Mapping[str, tuple[str, str]] = {
    "min": ("min(x, y, …)", "the least; of a step: `min(step.field)`"),
    "max": ("max(x, y, …)", "the greatest; of a step: `max(step.field)`"),
    "contains": ("contains(whole, part)", "a text in a text, or an item in a list"),
    "concat": ("concat(text, …)", "one text after another, as `+` does"),
    "extract": ("extract(text, pattern, [group])", "what RE2 finds: its first group, or all of it"),
    "round": ("round(number, [places])", "the nearest whole number, or number of so many places"),
    "int": ("int(value)", "a number cut off towards zero, or the one a text says, or null"),
    "float": ("float(value)", "a number as a float, or the one a text says, or null"),
    "timestamp": ("timestamp(value)", "of RFC 3339 text or ms since 1970"),
    "in_cidr": ("in_cidr(address, network, …)", "the address lies in one of the networks"),
    "distance_km": ("distance_km(place, place)", "great-circle distance of two {lat, lon}"),
    "speed_kmh": ("speed_kmh(place, time, place, time)", "the speed that takes one there"),
    "date": ("date(time, [zone])", "the day, as 2024-12-10"),
    "is_weekend": ("is_weekend(time, [zone])", "Saturday or Sunday"),
    "business_hours": (
        "business_hours(time, [zone], [opens], [closes], [days])",
        "by the clock of the zone, Monday to Friday from 9h to 17h unless told",
    ),
    "truncate": ("truncate(time, step)", "the last multiple of the step"),
    "any": ("any(condition on step)", "true for at least one event of the step"),
    "all": ("all(condition on step)", "true for every event of the step"),
    "median": ("median(step.field)", "the value in the middle"),
    "zscore": ("zscore([value], step.field)", "how many standard deviations above the mean"),
    "first_seen": (
        "first_seen(value, …, over = span)",
        "no event of the type had these values in the span before",
    ),
}
"""Functions with rules of their own: how they are written, and what they mean."""

LATER_FUNCTIONS = frozenset({"labels"})
"""Functions of the language that are not available yet."""

RESERVED = frozenset({*FUNCTIONS, *SPECIAL, *AGGREGATES, *LATER_FUNCTIONS}) - {"nth"}
"""Names that neither a `def` nor a function in Python may take."""


def described() -> dict[str, tuple[str, str]]:
    """How each function is written, and what it means; aggregates of a step are not among them."""
    found = dict(SPECIAL)
    for name, (function, *_) in FUNCTIONS.items():
        written = ", ".join(p.name if p.required else f"[{p.name}]" for p in function.parameters)
        found[name] = (f"{name}({written})", OPERATORS[function.op].meaning)
    return dict(sorted(found.items()))
