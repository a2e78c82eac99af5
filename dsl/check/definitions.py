"""`def name(a, b) = expression`: written once, put in the place of each call, and checked there.

The arguments take the places of the parameters as they are written, so a definition is checked with
the types of each use; what is wrong is told at the use, with the place inside of the definition.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from dsl import ast, limits
from dsl.check.context import Context
from dsl.diagnostics import Diagnostic, did_you_mean
from dsl.functions import RESERVED
from dsl.model import Expr
from dsl.parser import children
from dsl.registered import REGISTERED

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

AnyNode = TypeVar("AnyNode", bound=ast.Node)


# ------------------------------------------------------------------------------ the declarations


def check_definitions(context: Context) -> None:
    """Names, parameters and recursion; a definition that is wrong here is not used."""
    for name, declaration in list(context.defs.items()):
        before = len(context.diagnostics)
        _check(context, declaration)
        if len(context.diagnostics) > before:
            del context.defs[name]
            context.broken_names.add(name)
    for name in list(context.defs):
        if name in context.defs:
            _refuse_recursion(context, name)


def _check(context: Context, declaration: ast.DefDeclaration) -> None:
    name = declaration.name
    if name.text in RESERVED or name.text in REGISTERED:
        context.report("E014", f"`{name.text}` is a function already", name.span)
    seen: set[str] = set()
    for parameter in declaration.parameters:
        if parameter.text in seen:
            context.report("E014", f"a second `{parameter.text}`", parameter.span)
        seen.add(parameter.text)
    for variable in _variables(declaration.value):
        if variable.name not in seen and variable.name not in context.data_names:
            message = f"`{variable.name}` is no argument of `{name.text}`"
            hint = did_you_mean(variable.name, seen) or "a `def` knows nothing but its arguments"
            context.report("E013", message, variable.span, hint)


def _variables(node: ast.Node) -> list[ast.Variable]:
    """The free names of an expression; the names of called functions are none."""
    if isinstance(node, ast.Variable):
        return [node]
    inner = children(node)
    if isinstance(node, ast.Invoke) and isinstance(node.function, ast.Variable):
        inner = inner[1:]
    return [variable for child in inner for variable in _variables(child)]


def _refuse_recursion(context: Context, name: str) -> None:
    path = _cycle(context, (name,), set())
    if path is None:
        return
    message = f"`{name}` is made from itself: {' → '.join(path)}"
    context.report("E018", message, context.defs[name].name.span)
    for member in path:
        context.defs.pop(member, None)
        context.broken_names.add(member)


def _cycle(context: Context, path: tuple[str, ...], done: set[str]) -> tuple[str, ...] | None:
    for called in _calls(context.defs[path[-1]].value):
        if called == path[0]:
            return (*path, called)
        if called in context.defs and called not in done:
            done.add(called)
            found = _cycle(context, (*path, called), done)
            if found is not None:
                return found
    return None


def _calls(node: ast.Node) -> list[str]:
    own = []
    if isinstance(node, ast.Invoke) and isinstance(node.function, ast.Variable):
        own = [node.function.name]
    return own + [name for child in children(node) for name in _calls(child)]


# ------------------------------------------------------------------------------ the uses


def expand(checker: Checker, node: ast.Invoke, declaration: ast.DefDeclaration) -> Expr | None:
    """The call, with the definition in its place; None after reporting."""
    given = _arguments(checker, node, declaration)
    if given is None:
        return None
    context = checker.context
    outermost = context.expanding_from is None
    if outermost:
        context.expanding_from = context.expanded
    try:
        _spend(context, _size(declaration.value) + sum(map(_size, given.values())))
        told, doubted = len(context.diagnostics), len(checker.doubts)
        expr = checker.any(substituted(declaration.value, given))
        for place, found in enumerate(context.diagnostics[told:], told):
            context.diagnostics[place] = _at_use(context, found, node, declaration)
        for place, doubt in enumerate(checker.doubts[doubted:], doubted):
            warning = _at_use(context, doubt.warning, node, declaration)
            checker.doubts[place] = replace(doubt, warning=warning)
    except _TooLarge:
        if not outermost:
            raise
        message = f"`{declaration.name.text}` grows too large here"
        hint = f"at most {limits.EXPANSION_NODES_MAX:,} parts, definitions in it included"
        return checker.error("E004", message, node.span, hint)
    finally:
        if outermost:
            context.expanding_from = None
    return None if expr is None else replace(expr, span=node.span)


class _TooLarge(Exception):
    """A use of a definition that comes to more parts than allowed."""


def _spend(context: Context, parts: int) -> None:
    assert context.expanding_from is not None, "set by the outermost use"
    context.expanded += parts
    used = context.expanded - context.expanding_from
    if used > limits.EXPANSION_NODES_MAX or context.expanded > context.expansions_max:
        raise _TooLarge


def _arguments(
    checker: Checker, node: ast.Invoke, declaration: ast.DefDeclaration
) -> dict[str, ast.Expression] | None:
    names = [parameter.text for parameter in declaration.parameters]
    given: dict[str, ast.Expression] = {}
    for place, argument in enumerate(node.arguments):
        name = argument.name.text if argument.name else names[place] if place < len(names) else ""
        if name not in names or name in given:
            break
        given[name] = argument.value
    if len(given) == len(names) == len(node.arguments):
        return given
    written = f"`{declaration.name.text}({', '.join(names)})`"
    message = f"this call does not fit {written}"
    hint = f"declared at {checker.context.place(declaration.name.span)}"
    checker.error("E022", message, node.span, hint)
    return None


def substituted(node: AnyNode, given: dict[str, ast.Expression]) -> AnyNode:
    """`node` with the arguments in the places of the parameters."""
    if isinstance(node, ast.Variable):
        return given.get(node.name, node)  # type: ignore[return-value]  # both are expressions
    changed: dict[str, Any] = {}
    for each in fields(node):
        value = getattr(node, each.name)
        if isinstance(node, ast.Invoke) and each.name == "function":
            continue
        if isinstance(value, ast.Node):
            changed[each.name] = substituted(value, given)
        elif isinstance(value, tuple) and any(isinstance(item, ast.Node) for item in value):
            changed[each.name] = tuple(substituted(item, given) for item in value)
    return replace(node, **changed) if changed else node


def _size(node: ast.Node) -> int:
    return 1 + sum(map(_size, children(node)))


def _at_use(
    context: Context, found: Diagnostic, node: ast.Invoke, declaration: ast.DefDeclaration
) -> Diagnostic:
    """What was found inside of the definition, at its use and with both places."""
    body, span = declaration.value.span, found.span
    if span.path != body.path or not (body.start <= span.start and span.end <= body.end):
        return found
    where = f"in `{declaration.name.text}`, at {context.place(span)}"
    return replace(found, message=f"{found.message}, {where}", span=node.span)
