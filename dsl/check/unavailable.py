"""Pass: constructs of the language that parse but are not available yet.

A construct leaves `_missing` when a pass gives it a meaning; until then its rule is reported here
and taken no further.
"""

from __future__ import annotations

from dsl import ast
from dsl.check.context import Context
from dsl.check.instances import COUNTS, parameter_of
from dsl.functions import LATER_FUNCTIONS
from dsl.parser import children

_WATCHED = frozenset({ast.Duration, ast.String, ast.Invoke, *COUNTS})
"""What may stand for a parameter or be missing; most nodes are neither."""


def check_availability(context: Context) -> None:
    for file in context.files:
        context.broken_names.update(file.broken)
        for declaration in file.declarations:
            found = False
            pending: list[ast.Node] = [declaration]
            while pending:
                node = pending.pop()
                if type(node) not in _WATCHED:
                    pending.extend(children(node))
                    continue
                parameter = parameter_of(node)
                if parameter is not None and not isinstance(declaration, ast.TemplateDeclaration):
                    found = True
                    message = f"`{parameter.text}` where a literal must stand"
                    hint = "only a template has parameters; text stands in quotes"
                    context.report("E013", message, parameter.span, hint)
                what = _missing(node)
                if what is not None:
                    found = True
                    context.report("E090", f"{what} is not available yet", node.span)
                else:
                    pending.extend(children(node))
            if found:
                context.broken_names.add(_declared(declaration))


def _declared(declaration: ast.Declaration) -> str:
    if isinstance(declaration, ast.TestDeclaration):
        return ""
    return declaration.name.text


def _missing(node: ast.Node) -> str | None:
    """What `node` is called if nothing gives it a meaning yet."""
    if isinstance(node, ast.Invoke) and isinstance(node.function, ast.Variable):
        name = node.function.name
        return f"`{name}`" if name in LATER_FUNCTIONS else None
    return None
