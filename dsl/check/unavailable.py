"""Pass: constructs of the language that parse but are not available yet.

One table from syntax to what it is called.  A construct leaves this table when a pass gives it a
meaning; until then its rule is reported here and taken no further.
"""

from __future__ import annotations

from dsl import ast
from dsl.check.context import Context
from dsl.check.instances import parameter_of
from dsl.functions import LATER_FUNCTIONS
from dsl.parser import children

_WHOLE: dict[type[ast.Node], str] = {
    ast.TableDeclaration: "a `table`",
    ast.ListDeclaration: "a `list`",
    ast.FeatureDeclaration: "a `feature`",
    ast.Window: "`window`",
    ast.When: "`when`",
    ast.Conjunction: "`&` between steps",
    ast.SomeOf: "`n of (…)`",
    ast.TestGiven: "`given`",
}


def check_availability(context: Context) -> None:
    for file in context.files:
        context.broken_names.update(file.broken)
        for declaration in file.declarations:
            found = False
            pending: list[ast.Node] = [declaration]
            while pending:
                node = pending.pop()
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
                elif not isinstance(node, ast.TableDeclaration):
                    pending.extend(children(node))
            if found:
                context.broken_names.add(_declared(declaration))


def _declared(declaration: ast.Declaration) -> str:
    if isinstance(declaration, ast.TestDeclaration):
        return ""
    return declaration.name.text


def _missing(node: ast.Node) -> str | None:
    """What `node` is called if nothing gives it a meaning yet."""
    if type(node) in _WHOLE:
        return _WHOLE[type(node)]
    if isinstance(node, ast.KeyPart) and node.table is not None:
        return "a key from a table"
    if isinstance(node, ast.Within) and node.per_step:
        return "`within … per step`"
    if isinstance(node, ast.Repetition) and node.preference == "possessive":
        return "a possessive quantifier"
    if isinstance(node, ast.Modifier):
        return f"`{node.word}` behind a quantifier"
    if isinstance(node, ast.Invoke) and isinstance(node.function, ast.Variable):
        name = node.function.name
        return f"`{name}`" if name in LATER_FUNCTIONS else None
    return None
