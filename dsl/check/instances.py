"""Pass: rules made from templates, as if their clauses had been written out with the values.

A parameter may stand wherever a literal of its type may; inside of its template it hides a field of
the same name.  What is wrong with an instance is told where it is written, with the other place, of
the template or the instance, behind it; what is wrong with all instances is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import is_
from typing import Any, cast

from dsl import ast, limits
from dsl.check.context import Context, Instance, RuleDraft
from dsl.check.events import scalar_type
from dsl.check.literals import BAD, json_literal
from dsl.check.typing import name_of
from dsl.diagnostics import one_of
from dsl.model import Kind
from dsl.parser import children, slots_of

Values = Mapping[str, ast.Expression]


def make_instances(context: Context) -> None:
    """Gives every rule made from a template its clauses, and tries templates that have no rule."""
    for template in context.templates.values():
        _check_parameters(context, template)
    room = _Room(context)
    used: set[str] = set()
    for draft in context.rules.values():
        written = draft.made_by
        if written is None or draft.broken:
            continue
        template_name = written.template.text
        used.add(template_name)
        found = context.templates.get(template_name)
        if found is None or template_name in context.broken_names:
            _unknown_template(context, written)
            draft.broken = True
        elif room.takes(found, written):
            _make(context, draft, found, _values(context, found, written))
        else:
            draft.broken = True
    for name, template in context.templates.items():
        if name not in used and name not in context.broken_names:
            _try(context, template)


class _Room:
    """How much each file may still make from templates."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sizes: dict[str, int] = {}
        self._made: dict[str, int] = {}

    def takes(self, template: ast.TemplateDeclaration, written: ast.RuleInstance) -> bool:
        name, path = template.name.text, written.span.path
        if name not in self._sizes:
            self._sizes[name] = sum(map(_weight, _below(template)))
        before = self._made.get(path, 0)
        now = self._made[path] = before + self._sizes[name]
        if before <= limits.INSTANCE_NODES_MAX < now:
            message = "the rules that this file makes from templates are too many or too long"
            hint = "spread them over several files"
            self._context.report("E004", message, written.name.span, hint)
        return now <= limits.INSTANCE_NODES_MAX


def _try(context: Context, template: ast.TemplateDeclaration) -> None:
    """A template that no rule is made of is checked with its defaults, if it has them all."""
    defaults = {p.name.text: p.default for p in template.parameters if p.default is not None}
    if len(defaults) == len(template.parameters):
        draft = RuleDraft(ast.RuleDeclaration(template.span, template.name, None, ()))
        _make(context, draft, template, defaults)
        context.trials.append(draft)


def _weight(node: ast.Node) -> int:
    """What a node counts; a text has expressions in its braces, which are read for each rule."""
    if isinstance(node, ast.String):
        return 1 + limits.PLACEHOLDER_NODES * node.text.count("{")
    return 1


def _below(node: ast.Node) -> Iterator[ast.Node]:
    pending = [node]
    while pending:
        found = pending.pop()
        yield found
        pending.extend(children(found))


def _unknown_template(context: Context, written: ast.RuleInstance) -> None:
    name = written.template
    if name.text not in context.broken_names:
        context.unknown("E010", f"unknown template `{name.text}`", name, context.templates)


def _make(
    context: Context, draft: RuleDraft, template: ast.TemplateDeclaration, values: Values | None
) -> None:
    if values is None:
        draft.broken = True
        return
    draft.instance = Instance(draft.declaration.name, template, values)
    with context.checking(draft.instance):
        before = len(context.diagnostics)
        clauses = tuple(filled(context, clause, values) for clause in template.clauses)
        draft.declaration = ast.RuleDeclaration(
            draft.declaration.span, draft.declaration.name, None, clauses
        )
        draft.broken = len(context.diagnostics) > before


# ------------------------------------------------------------------------------- the declarations


def _check_parameters(context: Context, template: ast.TemplateDeclaration) -> None:
    before = len(context.diagnostics)
    seen: set[str] = set()
    for parameter in template.parameters:
        if parameter.name.text in seen:
            message = f"a second parameter `{parameter.name.text}`"
            context.report("E014", message, parameter.name.span)
        seen.add(parameter.name.text)
        if not isinstance(parameter.type, ast.NamedType | ast.EnumType):
            message = "a parameter is one value, not a list or record"
            context.report("E024", message, parameter.type.span)
        elif parameter.default is not None:
            _suits(context, parameter, parameter.default)
    if len(context.diagnostics) > before:
        context.broken_names.add(template.name.text)


def _values(
    context: Context, template: ast.TemplateDeclaration, written: ast.RuleInstance
) -> Values | None:
    """The value of every parameter; None after reporting what is wrong."""
    before = len(context.diagnostics)
    known = {parameter.name.text: parameter for parameter in template.parameters}
    values: dict[str, ast.Expression] = {}
    with context.checking(Instance(written.name, template, {})):
        for place, argument in enumerate(written.arguments):
            if argument.name is None:
                order = template.parameters[place : place + 1]
                hint = f"write `{order[0].name.text} = …`" if order else None
                context.report("E022", "arguments have names here", argument.span, hint)
            elif argument.name.text not in known:
                message = f"template `{template.name.text}` has no parameter `{argument.name.text}`"
                context.unknown("E013", message, argument.name, known)
            elif argument.name.text in values:
                context.report("E061", f"a second `{argument.name.text}`", argument.name.span)
            else:
                if _suits(context, known[argument.name.text], argument.value):
                    values[argument.name.text] = argument.value
        missing = []
        for name, parameter in known.items():
            if parameter.default is not None:
                values.setdefault(name, parameter.default)
            elif all(
                argument.name and argument.name.text != name for argument in written.arguments
            ):
                missing.append(f"`{name}`")
        if missing:
            message = f"no value for {one_of(missing).replace(' or ', ' and ')}"
            context.report("E022", message, written.template.span)
    return values if len(context.diagnostics) == before else None


def _suits(context: Context, parameter: ast.Parameter, value: ast.Expression) -> bool:
    """Whether `value` is a literal of the parameter's type; reports it when not."""
    assert isinstance(parameter.type, ast.NamedType | ast.EnumType), "checked with the declaration"
    type_ = scalar_type(context, parameter.type)
    if isinstance(value, ast.Duration) != (type_.kind is Kind.DURATION):
        message = f"`{parameter.name.text}` is {name_of(type_)}"
        hint = "durations have a unit: `5m`" if type_.kind is Kind.DURATION else None
        context.report("E023", message, value.span, hint)
        return False
    return json_literal(context, value, type_) is not BAD


# ------------------------------------------------------------------------------- putting values in


COUNTS: Mapping[type[ast.Node], tuple[tuple[str, str], ...]] = {
    ast.Repetition: (("least", "least_from"), ("most", "most_from")),
    ast.SomeOf: (("count", "count_from"),),
    ast.Limit: (("runs", "runs_from"),),
    ast.Priority: (("value", "value_from"),),
}
"""Numbers that a parameter may give: the attribute, and the one that names the parameter."""


def parameter_of(node: ast.Node) -> ast.Name | None:
    """The parameter that a clause names where only a literal can stand."""
    if isinstance(node, ast.Duration | ast.String):
        return node.parameter
    names = (getattr(node, name) for _, name in COUNTS.get(type(node), ()))
    return next((name for name in names if name is not None), None)


def filled(context: Context, node: Any, values: Values) -> Any:
    """`node` with values in the places of the parameters; what has none is shared."""
    if isinstance(node, ast.Variable):
        return values.get(node.name, node)
    if isinstance(node, ast.Duration | ast.String) and node.parameter is not None:
        return _literal(context, node.parameter, values, (type(node),)) or node
    if isinstance(node, ast.Entry) and node.value is None and node.name.text in values:
        return ast.Entry(node.span, node.name, values[node.name.text])
    changed: dict[str, Any] = {}
    if isinstance(node, ast.Severity) and node.name.text in values:
        text = _literal(context, node.name, values, (ast.String,))
        return ast.Severity(node.span, ast.Name(node.name.span, text.value)) if text else node
    if type(node) in COUNTS:
        changed |= _counts(context, node, values)
    for slot in slots_of(node):
        old = getattr(node, slot)
        new = old
        if slot == "function" and isinstance(node, ast.Invoke):
            continue
        if isinstance(node, ast.Window) and isinstance(old, ast.Duration) and slot != "cap":
            if old.parameter is not None:
                kinds = (ast.Duration, ast.Number)
                new = _literal(context, old.parameter, values, kinds) or old
        elif isinstance(old, ast.Node):
            new = filled(context, old, values)
        elif isinstance(old, tuple):
            items = [
                filled(context, item, values) if isinstance(item, ast.Node) else item
                for item in old
            ]
            new = old if all(map(is_, items, old)) else tuple(items)
        if new is not old:
            changed[slot] = new
    return replace(node, **changed) if changed else node


_WANTED: Mapping[type[ast.Node], str] = {
    ast.Duration: "duration",
    ast.String: "string",
    ast.Number: "whole number",
}


def _literal(
    context: Context, name: ast.Name, values: Values, kinds: tuple[type[ast.Node], ...]
) -> Any:
    """The value of a parameter where one of these literals must stand; None after reporting."""
    value = values.get(name.text)
    wanted = one_of(_WANTED[kind] for kind in kinds)
    if value is None:
        context.unknown("E013", f"`{name.text}` is no parameter of this template", name, values)
    elif isinstance(value, kinds) and not (
        isinstance(value, ast.Number) and not isinstance(value.value, int)
    ):
        return value
    else:
        context.report("E022", f"a {wanted} must stand here, and `{name.text}` is none", name.span)
    return None


def _counts(context: Context, node: ast.Node, values: Values) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for count, source in COUNTS[type(node)]:
        name = getattr(node, source)
        if name is None:
            continue
        changed[source] = None
        number = _literal(context, name, values, (ast.Number,))
        if number is None:
            continue
        value = cast(int, number.value)
        if isinstance(node, ast.Repetition) and value > limits.REPEAT_MAX:
            message = f"a count larger than {limits.REPEAT_MAX:,}"
            context.report("E006", message, number.span)
            value = 1
        changed[count] = value
    return changed
