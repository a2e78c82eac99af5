"""Pass: named filters, each with the filters below it inlined into one condition."""

from __future__ import annotations

from dsl import ast
from dsl.check.context import Context, Filter
from dsl.check.expressions import Checker
from dsl.check.scope import Scope
from dsl.check.typing import fold
from dsl.model import Expr


def check_filters(context: Context) -> None:
    for name in context.filter_declarations:
        _filter(context, name, ())


def _filter(context: Context, name: str, below: tuple[str, ...]) -> Filter | None:
    if name in context.filters:
        return context.filters[name]
    if name in context.broken_names:
        return None
    declaration = context.filter_declarations[name]
    if name in below:
        message = f"filter `{name}` is made from itself: {' → '.join((*below, name))}"
        context.report("E018", message, declaration.name.span)
        context.broken_names.add(name)
        return None
    found = _checked(context, declaration, (*below, name))
    if found is None:
        context.broken_names.add(name)
    else:
        context.filters[name] = found
    return found


def _checked(
    context: Context, declaration: ast.FilterDeclaration, below: tuple[str, ...]
) -> Filter | None:
    core = declaration.core
    if core.by is not None:
        span = core.by[0].span
        context.report("E035", "a filter has no key", span, "put `by` behind the step that uses it")
    base = named_event(context, core.name, below)
    if base is None:
        return None
    condition = core_condition(context, core, base, Scope(own=context.events[base.event]))
    if condition is None and core.condition is not None:
        return None
    return Filter(base.event, condition)


def named_event(context: Context, name: ast.Name, below: tuple[str, ...] = ()) -> Filter | None:
    """An event or filter by name, as a filter; None after reporting an unknown one."""
    if name.text in context.events:
        return Filter(name.text, None)
    if name.text in context.filter_declarations:
        return _filter(context, name.text, below)
    if name.text not in context.broken_names:
        known = [*context.events, *context.filter_declarations]
        context.unknown("E010", f"unknown event or filter `{name.text}`", name, known)
    return None


def core_condition(context: Context, core: ast.Core, base: Filter, scope: Scope) -> Expr | None:
    """The filter's condition and the one in brackets, as one."""
    if core.condition is None:
        return base.condition
    own = Checker(context, scope).condition(core.condition)
    if own is None or base.condition is None:
        return own
    return fold("and", [base.condition, own], core.condition.span)
