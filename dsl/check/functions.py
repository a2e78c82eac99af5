"""Calls: functions of values, and aggregates over the events of a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from dsl import ast
from dsl.check.scope import StepName, field_path
from dsl.check.typing import FLOAT, INT, ORDERED, adapt, joined, name_of, optional, unify
from dsl.diagnostics import one_of
from dsl.model import Aggregate, Call, Expr, Kind, Type
from dsl.operators import AGGREGATES, FUNCTIONS, LATER_FUNCTIONS
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_SPECIAL = ("in_cidr", "min", "max")
_INDEX_KINDS = {Kind.LIST, Kind.RECORD}


def call(checker: Checker, node: ast.Invoke) -> Expr | None:
    """A call to its typed form; None after reporting."""
    if not isinstance(node.function, ast.Variable):
        return checker.error("E012", "only a name can be called", node.function.span)
    name = node.function.name
    if name in LATER_FUNCTIONS:
        return checker.error("E090", f"`{name}` is not available yet", node.span)
    for argument in node.arguments:
        if argument.name is not None:
            return checker.error("E022", f"`{name}` takes no named arguments", argument.span)
    values = [argument.value for argument in node.arguments]
    if name in {"min", "max"} and len(values) > 1:
        return _extreme(checker, node, f"{name}2", values)
    if name in AGGREGATES:
        return _aggregate(checker, node, name, values)
    if name == "in_cidr":
        return _in_cidr(checker, node, values)
    if name in FUNCTIONS:
        return _function(checker, node, name, values)
    known = [*FUNCTIONS, *AGGREGATES, *_SPECIAL]
    function = ast.Name(node.function.span, name)
    checker.context.unknown("E012", f"unknown function `{name}`", function, known)
    return None


def _function(
    checker: Checker, node: ast.Invoke, name: str, values: list[ast.Expression]
) -> Expr | None:
    function = FUNCTIONS[name]
    if not _count_is(checker, node, name, len(function.takes)):
        return None
    operands = checker.operands(*values)
    if operands is None:
        return None
    exprs = [expr for _, expr in operands]
    for argument, expr, kinds in zip(values, exprs, function.takes, strict=True):
        if expr.type.kind not in kinds:
            wanted = one_of(sorted(kind.value for kind in kinds if kind is not Kind.ENUM))
            message = f"`{name}` takes {wanted}, and this is {name_of(expr.type)}"
            return checker.error("E022", message, argument.span)
    type_ = exprs[0].type if function.gives is None else Type(function.gives)
    if name in {"floor", "ceil", "round"} and type_.kind is Kind.DECIMAL:
        from dsl.check.typing import to_float

        exprs, type_ = [to_float(exprs[0])], FLOAT
    return Call(optional(type_, *exprs), function.op, tuple(exprs), node.span)


def _extreme(
    checker: Checker, node: ast.Invoke, op: str, values: list[ast.Expression]
) -> Expr | None:
    operands = checker.operands(*values)
    exprs = None if operands is None else unify(operands)
    if operands is None:
        return None
    if exprs is None or exprs[0].type.kind not in ORDERED:
        types = one_of(dict.fromkeys(name_of(expr.type) for _, expr in operands))
        return checker.error("E022", f"`{op[:-1]}` cannot compare {types}", node.span)
    least = exprs[0]
    for expr in exprs[1:]:
        least = Call(joined([least, expr]), op, (least, expr), node.span)
    return least


def _in_cidr(checker: Checker, node: ast.Invoke, values: list[ast.Expression]) -> Expr | None:
    if not _count_is(checker, node, "in_cidr", 2):
        return None
    operands = checker.operands(*values)
    if operands is None:
        return None
    address = adapt(values[0], operands[0][1], Type(Kind.IP))
    if address.type.kind is not Kind.IP:
        message = f"`in_cidr` takes an ip, and this is {name_of(address.type)}"
        return checker.error("E022", message, values[0].span)
    return checker.in_network(address, values[1], operands[1][1], node.span)


def _count_is(checker: Checker, node: ast.Invoke, name: str, count: int) -> bool:
    if len(node.arguments) == count:
        return True
    takes = f"{count} argument{'s' if count != 1 else ''}"
    checker.error("E022", f"`{name}` takes {takes}, not {len(node.arguments)}", node.span)
    return False


# ---------------------------------------------------------------------------------- aggregates


def _aggregate(
    checker: Checker, node: ast.Invoke, name: str, values: list[ast.Expression]
) -> Expr | None:
    if not values or not _names_step(checker, values[0]):
        return _no_step(checker, node, name, values)
    if not _count_is(checker, node, name, 1):
        return None
    if name == "count":
        if not isinstance(values[0], ast.Variable):
            message, hint = "`count` takes a step, without a field", "write `count(step)`"
            return checker.error("E022", message, node.span, hint)
        return aggregate_field(checker, node, (), node.span)
    if isinstance(values[0], ast.Variable):
        label = values[0].name
        hint = f"write `{name}({label}.field)`"
        if name in {"first", "last"}:
            hint = f"name one of its fields: `{name}({label}).…`"
        return checker.error("E022", f"`{name}` needs a field of `{label}`", node.span, hint)
    return aggregate_field(checker, node, (), node.span)


def _names_step(checker: Checker, node: ast.Expression) -> bool:
    return checker.step_field(node) is not None


def _no_step(
    checker: Checker, node: ast.Invoke, name: str, values: list[ast.Expression]
) -> Expr | None:
    if not values:
        message = f"`{name}()` of a window is not available yet"
        return checker.error("E090", message, node.span, f"write `{name}(step)`")
    before = len(checker.context.diagnostics)
    checker.operands(*values)
    if len(checker.context.diagnostics) == before:
        hint = "an aggregate is taken over a step: `count(a)`, `sum(a.x)`"
        checker.error("E022", f"`{name}` takes a step or its field", node.span, hint)
    return None


def aggregate_field(
    checker: Checker, node: ast.Invoke, names: tuple[ast.Name, ...], span: Span
) -> Expr | None:
    """`first(a).x` (with `names` = x) or `sum(a.x)`, `count(a)` (without)."""
    function = node.function.name if isinstance(node.function, ast.Variable) else ""
    if names and function not in {"first", "last"}:
        message = f"`{function}(…)` has no fields"
        return checker.error("E024", message, span) if function else call(checker, node)
    if names and len(node.arguments) != 1:
        return checker.error("E022", f"`{function}` takes a step", node.span)
    place = checker.step_field(node.arguments[0].value)
    if place is None:
        return _no_step(checker, node, function, [a.value for a in node.arguments])
    label, inner = place
    found = _step(checker, label, node.span)
    if found is None:
        return None
    step, own = found
    if own and function == "last":
        message = f"`last({label})` inside `{label}` is the event being tested"
        return checker.error("E031", message, node.span, "name its field alone")
    if function == "count":
        return Aggregate(INT, "count", step.index, None, own, span)
    path = field_path(checker.context, step.event, (*inner, *names))
    return None if path is None else _typed(checker, function, step, path, own, span)


def _step(checker: Checker, label: str, span: Span) -> tuple[StepName, bool] | None:
    """The step behind a label, and whether it is the one whose condition this is."""
    scope = checker.scope
    if label in scope.own_labels:
        if scope.own_step is None:
            message = f"`{label}` must not occur, so there is nothing to aggregate"
            checker.error("E033", message, span)
            return None
        return scope.own_step, True
    if label in scope.later:
        checker.error("E031", scope.later[label], span)
        return None
    return scope.steps[label], False


def _typed(
    checker: Checker,
    function: str,
    step: StepName,
    path: tuple[tuple[str, ...], Type],
    own: bool,
    span: Span,
) -> Expr | None:
    names, type_ = path
    takes = AGGREGATES[function].takes
    if type_.kind in _INDEX_KINDS or (takes is not None and type_.kind not in takes):
        message = f"`{function}` cannot take {name_of(type_)}"
        return checker.error("E022", message, span)
    gives = AGGREGATES[function].gives
    maybe_null = type_.optional or step.optional
    result = {"int": INT, "float": FLOAT, "same": type_}[gives]
    result = replace(result, optional=maybe_null and gives != "int")
    return Aggregate(result, function, step.index, names, own, span)


def list_of_step(checker: Checker, node: ast.Expression) -> Aggregate | Literal[True] | None:
    """`a.x` of a repeated step as the list of its values; True after reporting; None if it is
    something else."""
    place = checker.step_field(node)
    if place is None or not place[1]:
        return None
    label, names = place
    own = label in checker.scope.own_labels
    step = checker.scope.own_step if own else checker.scope.steps.get(label)
    if step is None or not step.repeated:
        return None
    found = field_path(checker.context, step.event, names)
    if found is None:
        return True
    path, type_ = found
    if type_.kind in _INDEX_KINDS:
        checker.error("E024", f"`in` cannot compare {name_of(type_)}", node.span)
        return True
    return Aggregate(Type(Kind.LIST, item=type_), "list", step.index, path, own, node.span)
