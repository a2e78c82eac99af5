"""Aggregates: functions over the events bound to a step, and the list of their values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from dsl import ast
from dsl.check.scope import StepName, field_path
from dsl.check.typing import FLOAT, INT, name_of
from dsl.model import Aggregate, Expr, Kind, Type
from dsl.operators import AGGREGATES
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_INDEX_KINDS = {Kind.LIST, Kind.RECORD}


def aggregate(
    checker: Checker, node: ast.Invoke, name: str, values: list[ast.Expression]
) -> Expr | None:
    if not values or not _names_step(checker, values[0]):
        return _no_step(checker, node, name, values)
    if not checker.takes(node, name, 1):
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
        if not function:
            message = "only a name can be called"
        return checker.error("E024", message, span)
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
    result = replace(result, optional=maybe_null and gives != "int", scale=type_.scale)
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
