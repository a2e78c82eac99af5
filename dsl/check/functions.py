"""Calls: functions of values by their table, and whatever has rules of its own by its handler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dsl import ast
from dsl.check import dates, geo, special
from dsl.check.aggregates import aggregate
from dsl.check.definitions import expand
from dsl.check.first_seen import first_seen
from dsl.check.statistics import any_or_all, median, zscore
from dsl.check.typing import adapt, name_of, optional, to_float
from dsl.diagnostics import did_you_mean, one_of
from dsl.functions import FUNCTIONS, LATER_FUNCTIONS, LEFT_OUT, RESERVED, Function, Parameter
from dsl.model import Call, Const, Expr, Kind, Type
from dsl.operators import AGGREGATES
from dsl.registered import REGISTERED, Registered

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

Handler: TypeAlias = "Callable[[Checker, ast.Invoke], Expr | None]"

_HANDLERS: dict[str, Handler] = {
    "all": any_or_all,
    "any": any_or_all,
    "median": median,
    "zscore": zscore,
    "first_seen": first_seen,
    "contains": special.contains,
    "concat": special.concat,
    "extract": special.extract,
    "round": special.round_,
    "int": special.to_int,
    "float": special.to_float_,
    "timestamp": special.to_timestamp,
    "in_cidr": special.in_cidr,
    "distance_km": geo.distance_km,
    "speed_kmh": geo.speed_kmh,
    "date": dates.date,
    "is_weekend": dates.is_weekend,
    "business_hours": dates.business_hours,
    "truncate": dates.truncate,
}


def call(checker: Checker, node: ast.Invoke) -> Expr | None:
    """A call to its typed form; None after reporting."""
    if not isinstance(node.function, ast.Variable):
        return checker.error("E012", "only a name can be called", node.function.span)
    name = node.function.name
    if name in LATER_FUNCTIONS:
        return checker.error("E090", f"`{name}` is not available yet", node.span)
    if name in checker.context.defs:
        return expand(checker, node, checker.context.defs[name])
    if name in FUNCTIONS:
        return _function(checker, node, name, FUNCTIONS[name])
    if name in {"min", "max"} and len(node.arguments) > 1:
        return special.extreme(checker, node)
    if name in _HANDLERS:
        return _HANDLERS[name](checker, node)
    if name in AGGREGATES and name != "nth":
        return aggregate(checker, node, name)
    if name in REGISTERED:
        return _registered(checker, node, REGISTERED[name])
    if name not in checker.context.broken_names:
        known = [*RESERVED - LATER_FUNCTIONS, *checker.context.defs, *REGISTERED]
        hint = did_you_mean(name, known)
        checker.error("E012", f"unknown function `{name}`", node.function.span, hint)
    return None


# ------------------------------------------------------------------------------- by the table


def _function(
    checker: Checker, node: ast.Invoke, name: str, ways: Sequence[Function]
) -> Expr | None:
    function = ways[0]
    given = matched(checker, node, name, function.parameters)
    if given is None:
        return None
    return typed(checker, node, function, given)


def typed(
    checker: Checker,
    node: ast.Invoke,
    function: Function,
    given: Sequence[ast.Expression | None],
) -> Expr | None:
    """The call, its arguments checked one by one against the parameters."""
    name = node.function.name if isinstance(node.function, ast.Variable) else function.op
    exprs: list[Expr] = []
    sound = True
    for parameter, argument in zip(function.parameters, given, strict=True):
        if argument is None:
            if parameter.default is not LEFT_OUT:
                exprs.append(_default(parameter, node))
            continue
        expr = passed(checker, name, parameter, argument)
        sound = sound and expr is not None
        if expr is not None:
            exprs.append(expr)
    if not sound:
        return None
    gives = exprs[0].type if function.gives is None else function.gives
    if name in {"floor", "ceil"} and gives.kind is Kind.DECIMAL:
        exprs = [to_float(exprs[0])]
        gives = exprs[0].type
    maybe_null = gives if gives.optional else optional(gives, *exprs)
    return Call(maybe_null, function.op, tuple(exprs), node.span)


def passed(
    checker: Checker, name: str, parameter: Parameter, argument: ast.Expression
) -> Expr | None:
    """`argument` as a value the parameter takes; None after reporting."""
    if parameter.literal and not isinstance(argument, ast.String | ast.Number):
        what = f"`{parameter.name}` of `{name}` must be written as a literal"
        return checker.error("E026", what, argument.span)
    lists = Kind.LIST in parameter.kinds
    expr = checker.listed(argument) if lists else checker.check(argument)
    if expr is None:
        return None
    if len(parameter.kinds) == 1:
        (kind,) = parameter.kinds
        expr = adapt(argument, expr, Type(kind))
        if kind is Kind.FLOAT and expr.type.kind in {Kind.INT, Kind.DECIMAL}:
            expr = to_float(expr)
    if expr.type.kind not in parameter.kinds:
        shown = sorted(kind.value for kind in parameter.kinds if kind is not Kind.ENUM)
        if Kind.STRING in parameter.kinds and Kind.IP in parameter.kinds and len(shown) <= 3:
            shown.remove("ip")
        message = f"`{name}` takes {one_of(shown)}, and this is {name_of(expr.type)}"
        return checker.error("E022", message, argument.span)
    if parameter.name == "zone":
        return dates.checked_zone(checker, argument, expr)
    return expr


def _default(parameter: Parameter, node: ast.Invoke) -> Const:
    kind = Kind.STRING if isinstance(parameter.default, str) else Kind.INT
    return Const(Type(kind), parameter.default, node.span)


def matched(
    checker: Checker, node: ast.Invoke, name: str, parameters: Sequence[Parameter]
) -> list[ast.Expression | None] | None:
    """The argument of each parameter, by place and then by name; None after reporting."""
    given: list[ast.Expression | None] = [None] * len(parameters)
    names = [parameter.name for parameter in parameters]
    for place, argument in enumerate(node.arguments):
        if argument.name is not None:
            if argument.name.text not in names:
                message = f"`{name}` has no argument `{argument.name.text}`"
                checker.context.unknown("E022", message, argument.name, names)
                return None
            place = names.index(argument.name.text)
        if place >= len(given):
            _miscounted(checker, node, name, parameters)
            return None
        if given[place] is not None:
            message = f"`{names[place]}` of `{name}` is given twice"
            checker.error("E022", message, argument.span)
            return None
        given[place] = argument.value
    if any(p.required and g is None for p, g in zip(parameters, given, strict=True)):
        _miscounted(checker, node, name, parameters)
        return None
    return given


def _miscounted(
    checker: Checker, node: ast.Invoke, name: str, parameters: Sequence[Parameter]
) -> None:
    least = sum(parameter.required for parameter in parameters)
    most = len(parameters)
    count = f"{most}" if least == most else f"{least} to {most}"
    takes = f"{count} argument{'s' if most != 1 else ''}"
    written = ", ".join(p.name if p.required else f"[{p.name}]" for p in parameters)
    message = f"`{name}` takes {takes}, not {len(node.arguments)}"
    checker.error("E022", message, node.span, f"`{name}({written})`")


# ------------------------------------------------------------------------------- in Python


def _registered(checker: Checker, node: ast.Invoke, function: Registered) -> Expr | None:
    parameters = [
        Parameter(f"argument {number + 1}", frozenset({type_.kind}))
        for number, type_ in enumerate(function.takes)
    ]
    given = matched(checker, node, function.name, parameters)
    if given is None:
        return None
    exprs = [
        passed(checker, function.name, parameter, argument)
        for parameter, argument in zip(parameters, given, strict=True)
        if argument is not None
    ]
    found = [expr for expr in exprs if expr is not None]
    if len(found) != len(exprs):
        return None
    name = Const(Type(Kind.STRING), function.name, node.span)
    version = Const(Type(Kind.STRING), function.version, node.span)
    return Call(function.gives, "registered", (name, version, *found), node.span)
