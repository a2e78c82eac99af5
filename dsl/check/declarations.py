"""Pass: every declaration by its name.

Events, filters, rules and the rest share one namespace over all files.  The same event, table or
list declared twice in the same words is one, so packs can carry their schema with them; anything
else declared twice is an error that names both places.
"""

from __future__ import annotations

from dsl import ast
from dsl.check.context import Context, RuleDraft


def collect_declarations(context: Context) -> None:
    seen: dict[str, ast.Declaration] = {}
    for file in context.files:
        for declaration in file.declarations:
            if isinstance(declaration, ast.TestDeclaration):
                context.test_declarations.append(declaration)
                continue
            first = seen.setdefault(declaration.name.text, declaration)
            if isinstance(declaration, ast.RuleDeclaration | ast.TemplateDeclaration):
                emits = (c for c in declaration.clauses if isinstance(c, ast.Emit))
                context.emitted.update(emit.event.text for emit in emits)
            if first is not declaration:
                _again(context, first, declaration)
            elif isinstance(declaration, ast.FilterDeclaration):
                context.filter_declarations[declaration.name.text] = declaration
            elif isinstance(declaration, ast.DefDeclaration):
                context.defs[declaration.name.text] = declaration
            elif isinstance(declaration, ast.TableDeclaration | ast.ListDeclaration):
                context.data_names.add(declaration.name.text)
            elif isinstance(declaration, ast.FeatureDeclaration):
                context.feature_declarations.append(declaration)
            elif isinstance(declaration, ast.RuleDeclaration):
                broken = declaration.name.text in context.broken_names
                context.rules[declaration.name.text] = RuleDraft(declaration, broken)
            elif isinstance(declaration, ast.TemplateDeclaration):
                context.templates[declaration.name.text] = declaration
            elif isinstance(declaration, ast.RuleInstance):
                rule = ast.RuleDeclaration(declaration.span, declaration.name, None, ())
                context.rules[declaration.name.text] = RuleDraft(rule, False, declaration)


def _again(context: Context, first: ast.Declaration, second: ast.Declaration) -> None:
    assert not isinstance(second, ast.TestDeclaration)
    assert not isinstance(first, ast.TestDeclaration)
    name, where = second.name, context.place(first.name.span)
    if isinstance(first, ast.TableDeclaration | ast.ListDeclaration) and first == second:
        return
    both_events = isinstance(first, ast.EventDeclaration) and isinstance(
        second, ast.EventDeclaration
    )
    if both_events and first == second:
        return
    if both_events:
        message = f"event `{name.text}` differs from its declaration at {where}"
        context.report("E015", message, name.span, "make both the same, or remove one")
    else:
        context.report("E014", f"`{name.text}` is already declared at {where}", name.span)
