"""Pass: features: facts about a key, as derived fields of events.

`feature f = avg(Payment[…].amount) by user window sliding 30d` gives every event that carries
`user` a field `f`.  Derived fields are computed from the events themselves, never from one another.
"""

from __future__ import annotations

from dataclasses import replace

from dsl import ast
from dsl.check.aggregates import Values, checked, parameter_of
from dsl.check.context import Context, Feature
from dsl.check.expressions import Checker
from dsl.check.filters import core_condition, named_event
from dsl.check.first_seen import key_type, plain
from dsl.check.scope import Scope, StepName, field_path
from dsl.check.typing import INT
from dsl.check.windows import window_shape
from dsl.model import (
    WINDOW,
    Aggregate,
    Derived,
    EventType,
    FieldRef,
    Type,
    WindowKind,
    WindowShape,
)

_KNOWN = (
    *("count", "sum", "avg", "min", "max", "first", "last"),
    *("distinct", "stddev", "median", "quantile"),
)


def check_features(context: Context) -> None:
    for declaration in context.feature_declarations:
        feature = _Feature(context, declaration).checked()
        if feature is None:
            context.broken_names.add(declaration.name.text)
        else:
            context.features[feature.name] = feature


class _Feature:
    def __init__(self, context: Context, declaration: ast.FeatureDeclaration) -> None:
        self.context = context
        self.declaration = declaration

    def checked(self) -> Feature | None:
        context, declaration = self.context, self.declaration
        shape = window_shape(context, declaration.window)
        if shape is not None and shape.kind not in (WindowKind.SLIDING, WindowKind.COUNT):
            message = "a feature looks back from an event, so its window is `sliding` or `count`"
            context.report("E080", message, declaration.window.span)
            shape = None
        call = declaration.value
        function = call.function if isinstance(call, ast.Invoke) else None
        if not isinstance(call, ast.Invoke) or not isinstance(function, ast.Variable):
            hint = "write `avg(Payment.amount)` or `count(Login[not ok])`"
            context.report("E022", "a feature is one aggregate", call.span, hint)
            return None
        if function.name not in _KNOWN:
            name = ast.Name(function.span, function.name)
            context.unknown("E012", f"unknown aggregate `{name.text}`", name, _KNOWN)
            return None
        return self._of(call, function.name, shape)

    def _of(self, call: ast.Invoke, function: str, shape: WindowShape | None) -> Feature | None:
        context, declaration = self.context, self.declaration
        arguments = [argument.value for argument in call.arguments]
        source = _source(arguments[0]) if len(arguments) == 1 + (function == "quantile") else None
        if source is None:
            hint = f"write `{function}(Event[…].field)`"
            context.report("E022", f"`{function}` takes an event or its field", call.span, hint)
            return None
        core, names = source
        base = named_event(context, core.name)
        if base is None:
            return None
        event = context.events[base.event]
        before = len(context.diagnostics)
        context.check_time(event, core.name, "place in a window")
        condition = core_condition(context, core, base, Scope(own=event))
        keys = self._keys(event)
        aggregate = self._aggregate(call, function, event, names)
        if condition is not None:
            plain(context, condition, core.span)
        if len(context.diagnostics) > before or aggregate is None or shape is None:
            return None
        key = tuple(FieldRef(type_, None, (name,), call.span) for name, type_ in keys)
        derived = Derived(aggregate, event.name, condition, key, (), replace(shape, every=1))
        return Feature(declaration.name.text, aggregate.type, keys, derived)

    def _keys(self, event: EventType) -> tuple[tuple[str, Type], ...]:
        keys: dict[str, Type] = {}
        for name in self.declaration.by:
            if name.text in keys:
                self.context.report("E014", f"key part `{name.text}` twice", name.span)
                continue
            found = field_path(self.context, event, (name,))
            if found is not None:
                key_type(self.context, found[1], name.span)
                keys[name.text] = found[1]
        return tuple(keys.items())

    def _aggregate(
        self, call: ast.Invoke, function: str, event: EventType, names: tuple[ast.Name, ...]
    ) -> Aggregate | None:
        checker = Checker(self.context, Scope(window=(event,), full=False))
        if not names:
            if function == "count":
                return Aggregate(INT, function, WINDOW, None, False, call.span)
            message, hint = f"`{function}` needs a field", f"write `{function}({event.name}.field)`"
            self.context.report("E022", message, call.span, hint)
            return None
        found = field_path(self.context, event, names)
        if found is None:
            return None
        step = StepName(WINDOW, event, repeated=True, optional=True)
        field = FieldRef(found[1], None, found[0], call.span)
        parameter = 0.5 if function == "median" else None
        if function == "quantile":
            parameter = parameter_of(checker, function, call.arguments[1].value)
            if parameter is None:
                return None
        function = "quantile" if function == "median" else function
        values = Values(step, False, field, found[0])
        aggregate = checked(checker, values, function, call.span, parameter)
        return aggregate if isinstance(aggregate, Aggregate) else None


def _source(node: ast.Expression) -> tuple[ast.Core, tuple[ast.Name, ...]] | None:
    """`Event`, `Event[cond]`, `Event.x` or `Event[cond].x` as a source and the field's names."""
    names: list[ast.Name] = []
    while isinstance(node, ast.AttributeOf):
        names.append(node.name)
        node = node.base
    condition: ast.Expression | None = None
    if isinstance(node, ast.Index):
        condition = node.index
        node = node.base
    if not isinstance(node, ast.Variable):
        return None
    core = ast.Core(node.span, ast.Name(node.span, node.name), condition, None)
    return core, tuple(reversed(names))
