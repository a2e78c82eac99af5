"""Aggregates: functions over the events bound to a step, and the list of their values.

What is taken of each event is a field (`sum(a.x)`) or an expression on that event alone
(`sum(a.x * a.y)`), in which the alias stands for each event in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dsl import ast, limits
from dsl.check.scope import Scope, StepName, chain, field_path, find_field
from dsl.check.typing import FLOAT, INT, literal, name_of, to_float
from dsl.model import WINDOW, Aggregate, Call, Const, Expr, FieldRef, Kind, Path, Type
from dsl.operators import AGGREGATES
from dsl.parser import children
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_ONE = frozenset({"first", "last", "prev", "nth"})
"""Of one event: they take records too, and may be null where the field is not."""


@dataclass(frozen=True, slots=True)
class Values:
    """What is taken of each event of a step: `value`, which is the field at `path` if there is one.

    `own`: the step is the one whose condition this is, and its candidate counts.
    """

    step: StepName
    own: bool
    value: Expr
    path: Path | None


def aggregate(checker: Checker, node: ast.Invoke, name: str) -> Expr | None:
    """`count(a)`, `sum(a.x)`, `quantile(a.x, 0.95)` …"""
    for argument in node.arguments:
        if argument.name is not None:
            return checker.error("E022", f"`{name}` takes no named arguments", argument.span)
    values = [argument.value for argument in node.arguments]
    window = bool(checker.scope.window)
    if window and name == "count" and not values:
        return Aggregate(INT, "count", WINDOW, None, False, node.span)
    if not values:
        return _no_step(checker, node, name, values)
    with_parameter = name in {"quantile", "top"}
    about = window or _about_step(checker, values[0])
    if about and not checker.takes(node, name, 1 + with_parameter):
        return None
    if name == "count" and isinstance(values[0], ast.Variable) and not window:
        found = _step(checker, values[0].name, node.span)
        if found is None or not _about_step(checker, values[0]):
            return None if found is None else _no_step(checker, node, name, values)
        return Aggregate(INT, "count", found[0].index, None, found[1], node.span)
    of_step = values_of(checker, node, name, values[0])
    if of_step is None:
        return None
    parameter = None
    if with_parameter:
        parameter = parameter_of(checker, name, values[1])
        if parameter is None:
            return None
    return checked(checker, of_step, name, node.span, parameter)


def aggregate_field(
    checker: Checker, node: ast.Invoke, names: tuple[ast.Name, ...], span: Span
) -> Expr | None:
    """`first(a).x`, with `names` = x."""
    function = node.function.name if isinstance(node.function, ast.Variable) else ""
    if function not in _ONE - {"nth"}:
        message = f"`{function}(…)` has no fields" if function else "only a name can be called"
        return checker.error("E024", message, span)
    if len(node.arguments) != 1:
        return checker.error("E022", f"`{function}` takes a step", node.span)
    return _of_one(checker, node, function, node.arguments[0].value, names, span)


def nth_field(
    checker: Checker, node: ast.Index, names: tuple[ast.Name, ...], span: Span
) -> Expr | None:
    """`a[2].x`, with `names` = x."""
    place = literal(node.index)
    label = node.base.name if isinstance(node.base, ast.Variable) else ""
    if not isinstance(place, int) or not 0 <= place <= limits.REPEAT_MAX:
        hint = f"`{label}[0]` is the first event; the last is `last({label})`"
        return checker.error("E023", "a number of events, counted from 0", node.index.span, hint)
    return _of_one(checker, node, "nth", node.base, names, span, place)


def _of_one(
    checker: Checker,
    node: ast.Expression,
    function: str,
    base: ast.Expression,
    names: tuple[ast.Name, ...],
    span: Span,
    place: int | None = None,
) -> Expr | None:
    found = checker.step_field(base)
    if found is None:
        return _no_step(checker, node, function, [base])
    label, inner = found
    step = _step(checker, label, node.span)
    path = None if step is None else field_path(checker.context, step[0].event, (*inner, *names))
    if step is None or path is None:
        return None
    value = FieldRef(path[1], None, path[0], span)
    return checked(checker, Values(*step, value, path[0]), function, span, place, label)


def values_of(
    checker: Checker, node: ast.Invoke, name: str, argument: ast.Expression
) -> Values | None:
    """What `argument` takes of each event of the one step it is about; None after reporting."""
    if checker.scope.window:
        return window_values(checker, argument)
    labels = _labels(checker, argument)
    if not labels:
        _no_step(checker, node, name, [argument])
        return None
    label, *others = labels
    if others:
        message = f"`{name}` looks at the events of one step, not at `{label}` and `{others[0]}`"
        checker.error("E022", message, argument.span)
        return None
    found = _step(checker, label, node.span)
    if found is None:
        return None
    step, own = found
    if isinstance(argument, ast.Variable):
        hint = f"write `{name}({label}.field)`"
        if name in _ONE:
            hint = f"name one of its fields: `{name}({label}).…`"
        checker.error("E022", f"`{name}` needs a field of `{label}`", node.span, hint)
        return None
    direct = checker.step_field(argument)
    if direct is not None:
        path = field_path(checker.context, step.event, direct[1])
        if path is None:
            return None
        return Values(step, own, FieldRef(path[1], None, path[0], argument.span), path[0])
    each = Scope(own=step.event, own_labels=frozenset({label}), each=True)
    inside = type(checker)(checker.context, each)
    value = inside.check(argument)
    checker.doubts += inside.doubts
    return None if value is None else Values(step, own, value, None)


def window_values(checker: Checker, argument: ast.Expression) -> Values | None:
    """What `argument` takes of each event of a window: a field that every source has, or, over one
    source, an expression on its event."""
    first, *others = checker.scope.window
    step = StepName(WINDOW, first, repeated=True, optional=not checker.scope.full)
    parts = chain(argument)
    names = () if parts is None else (ast.Name(parts[0].span, parts[0].name), *parts[1])
    if not others and (not names or find_field(first.fields, names[0].text) is None):
        inside = type(checker)(checker.context, Scope(own=first))
        value = inside.check(argument)
        checker.doubts += inside.doubts
        return None if value is None else Values(step, False, value, None)
    if not names:
        message = "over several sources, an aggregate takes a field"
        checker.error("E022", message, argument.span, "name a field that all of them have")
        return None
    found = field_path(checker.context, first, names)
    for event in others if found is not None else ():
        here = field_path(checker.context, event, names)
        if here is None or found is None:
            return None
        if _form(here[1]) != _form(found[1]):
            dotted = ".".join(name.text for name in names)
            message = f"`{dotted}` is {name_of(here[1])} in `{event.name}`, and {name_of(found[1])}"
            checker.error("E020", f"{message} before", argument.span)
            return None
        found = found[0], replace(found[1], optional=found[1].optional or here[1].optional)
    if found is None:
        return None
    return Values(step, False, FieldRef(found[1], None, found[0], argument.span), found[0])


def _form(type_: Type) -> tuple[object, ...]:
    return type_.kind, type_.scale, type_.item


def aggregated(
    of_step: Values, function: str, span: Span, parameter: float | None = None
) -> Aggregate:
    """The aggregate of what is taken of each event, whose type has been checked."""
    step, value, path = of_step.step, of_step.value, of_step.path
    type_ = value.type
    if function == "count" and type_.kind is Kind.BOOL:
        path = None
        nothing = Const(Type(Kind.NULL, optional=True), None, span)
        value = Call(replace(INT, optional=True), "if", (value, Const(INT, 1, span), nothing), span)
    elif function in {"stddev", "quantile"} and type_.kind is not Kind.FLOAT:
        path, value = None, to_float(value)
    maybe_null = type_.optional or step.optional or function in {"stddev", "nth", "prev"}
    match AGGREGATES[function].gives:
        case "int":
            result = INT
        case "float":
            scale = value.type.scale if function == "avg" else 0
            result = replace(FLOAT, optional=maybe_null, scale=scale)
        case "list":
            result = Type(Kind.LIST, item=type_)
        case "same":
            result = replace(type_, optional=maybe_null)
    own_value = None if path is not None else value
    return Aggregate(result, function, step.index, path, of_step.own, span, own_value, parameter)


def checked(
    checker: Checker,
    of_step: Values,
    function: str,
    span: Span,
    parameter: float | None = None,
    label: str = "",
) -> Expr | None:
    """The aggregate, if its function can take the values and may stand here."""
    type_, takes = of_step.value.type, AGGREGATES[function].takes
    window = of_step.step.index == WINDOW
    if function == "count" and type_.kind is not Kind.BOOL and not window:
        message, hint = "`count` takes a step or a condition", "write `count(step)`"
        return checker.error("E022", message, span, hint)
    whole = type_.kind is Kind.RECORD and function in _ONE and not window
    wrong = type_.kind in {Kind.LIST, Kind.RECORD} or (takes and type_.kind not in takes)
    if wrong and not whole:
        return checker.error("E022", f"`{function}` cannot take {name_of(type_)}", span)
    if window and function == "prev":
        message = "`prev` is about the events of a step"
        return checker.error("E022", message, span, "of a window, write `last(…)`")
    label = label or _label(checker, of_step.step)
    if of_step.own and function == "last":
        message = f"`last({label})` inside `{label}` is the event being tested"
        hint = f"name its field alone, or the one before it: `prev({label})`"
        return checker.error("E031", message, span, hint)
    if function == "prev" and not (of_step.own and of_step.step.repeated):
        message = f"`prev({label})` is the event before the one that a condition of `{label}` tests"
        return checker.error("E031", message, span, f"write `last({label})`")
    if function == "nth" and not of_step.step.repeated:
        message = f"`{label}` is one event, not several"
        return checker.error("E022", message, span, f"write `{label}.…`")
    return aggregated(of_step, function, span, parameter)


def parameter_of(checker: Checker, name: str, node: ast.Expression) -> float | None:
    value = literal(node)
    if name == "quantile":
        if not isinstance(value, str) and value is not None and 0 <= value <= 1:
            return float(value)
        checker.error("E023", "the share is a number from 0 to 1", node.span, "e.g. `0.95`")
    else:
        if isinstance(value, int) and 1 <= value <= limits.TOP_MAX:
            return value
        checker.error("E023", f"how many is a number from 1 to {limits.TOP_MAX}", node.span)
    return None


def _labels(checker: Checker, node: ast.Expression) -> list[str]:
    """The steps that an expression names, in order of first mention."""
    found: dict[str, None] = {}
    pending: list[ast.Node] = [node]
    while pending:
        each = pending.pop()
        parts = chain(each) if isinstance(each, ast.Variable | ast.AttributeOf) else None
        if parts is None:
            pending.extend(reversed(children(each)))
        elif _names_step(checker, each) and (parts[1] or each is node):
            found[parts[0].name] = None
    return list(found)


def _names_step(checker: Checker, node: ast.Node) -> bool:
    return isinstance(node, ast.Expression) and checker.step_field(node) is not None


def _about_step(checker: Checker, node: ast.Expression) -> bool:
    return bool(_labels(checker, node))


def _label(checker: Checker, step: StepName) -> str:
    names = [name for name, other in checker.scope.steps.items() if other.index == step.index]
    return (names or sorted(checker.scope.own_labels) or [""])[0]


def _no_step(
    checker: Checker, node: ast.Expression, name: str, values: list[ast.Expression]
) -> Expr | None:
    if not values:
        message, hint = f"`{name}()` is over a window", f"here, write `{name}(step)`"
        return checker.error("E022", message, node.span, hint)
    before = len(checker.context.diagnostics)
    checker.operands(*values)
    if len(checker.context.diagnostics) == before:
        hint = "an aggregate is taken over a step: `count(a)`, `sum(a.x)`"
        checker.error("E022", f"`{name}` takes a step or its field", node.span, hint)
    return None


def _step(checker: Checker, label: str, span: Span) -> tuple[StepName, bool] | None:
    """The step behind a label, and whether it is the one whose condition this is."""
    scope = checker.scope
    if label in scope.own_labels:
        if scope.own_step is None:
            message = f"`{label}` must not occur, so there is nothing to aggregate"
            if scope.each:
                message = "an aggregate inside of an aggregate"
            checker.error("E033", message, span)
            return None
        return scope.own_step, True
    if label in scope.later:
        checker.error("E031", scope.later[label], span)
        return None
    return scope.steps[label], False


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
    if type_.kind in {Kind.LIST, Kind.RECORD}:
        checker.error("E024", f"`in` cannot compare {name_of(type_)}", node.span)
        return True
    return Aggregate(Type(Kind.LIST, item=type_), "list", step.index, path, own, node.span)
