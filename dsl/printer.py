"""Syntax trees back to text: patterns, types and clauses, each on one line.

`parse(print(node)) == node`: parentheses appear exactly where the grammar needs them.  Literals
are printed as they were written.  `dsl.format` puts these pieces on lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from dsl import ast
from dsl.print_expression import arguments, expression, object_, quoted

# Levels of the grammar, loosest first; a part below the level it stands at gets parentheses.
_SEQUENCE, _ALTERNATION, _CONJUNCTION, _UNARY, _ATOM = 0, 1, 2, 3, 4

# ---------------------------------------------------------------------------------- patterns


def pattern(node: ast.Pattern, level: int = _SEQUENCE) -> str:
    text, own = _pattern(node)
    return f"({text})" if own < level else text


def _pattern(node: ast.Pattern) -> tuple[str, int]:
    if isinstance(node, ast.Sequence):
        return " ".join((pattern(node.first, _ALTERNATION), *map(follow, node.rest))), _SEQUENCE
    if isinstance(node, ast.Alternation):
        return " | ".join(pattern(o, _CONJUNCTION) for o in node.options), _ALTERNATION
    if isinstance(node, ast.Conjunction):
        return " & ".join(pattern(part, _UNARY) for part in node.parts), _CONJUNCTION
    if isinstance(node, ast.Absent):
        lasting = f" for {node.within.text}" if node.within is not None else ""
        return f"not {pattern(node.pattern, _ATOM)}{lasting}", _UNARY
    if isinstance(node, ast.Repetition):
        return _repetition(node), _UNARY
    if isinstance(node, ast.SomeOf):
        return f"{some_of(node)} ({', '.join(pattern(o) for o in node.options)})", _ATOM
    return step(node), _ATOM


def some_of(node: ast.SomeOf) -> str:
    """`3 of`, which stands before the options."""
    return f"{_given(node.count, node.count_from)} of"


def _given(number: int, name: ast.Name | None) -> str:
    """A number, or the parameter that gives it."""
    return str(number) if name is None else name.text


def follow(node: ast.Follow) -> str:
    """An arrow and the step behind it."""
    return f"{arrow(node.arrow)} {pattern(node.pattern, _ALTERNATION)}"


def arrow(node: ast.Arrow) -> str:
    return node.sign if node.gap is None else f"-[{gap(node.gap)}]{node.sign}"


def gap(node: ast.Gap) -> str:
    least = node.least.text if node.least is not None else ""
    return f"{least}..{node.most.text if node.most is not None else ''}"


def step(node: ast.Step) -> str:
    return (f"{node.alias.text}: " if node.alias is not None else "") + core(node.core)


def core(node: ast.Core) -> str:
    condition = f"[{expression(node.condition)}]" if node.condition is not None else ""
    return f"{node.name.text}{condition}{step_key(node)}"


def step_key(node: ast.Core) -> str:
    if node.by is None:
        return ""
    paths = [path(item) for item in node.by]
    return f" by {paths[0]}" if len(paths) == 1 else f" by ({', '.join(paths)})"


def path(node: ast.Path) -> str:
    return ".".join(node.names)


def _repetition(node: ast.Repetition) -> str:
    inner = pattern(node.pattern, _ATOM)
    spaced = isinstance(node.pattern, ast.Step) and node.pattern.core.by is not None
    return f"{inner}{' ' if spaced else ''}{quantifier(node)}"


def quantifier(node: ast.Repetition) -> str:
    """`{3,}`, `+?`, and the modifiers behind it."""
    short = {(0, 1): "?", (0, None): "*", (1, None): "+"}.get((node.least, node.most))
    if short is None or node.least_from is not None or node.most_from is not None:
        least = str(node.least) if node.least or node.most == 0 else ""
        least = node.least_from.text if node.least_from is not None else least
        most = "" if node.most is None else str(node.most)
        most = node.most_from.text if node.most_from is not None else most
        short = f"{{{least}}}" if least == most else f"{{{least},{most}}}"
    mark = {"greedy": "", "reluctant": "?", "possessive": "+"}[node.preference]
    return " ".join((short + mark, *(_modifier(modifier) for modifier in node.modifiers)))


def _modifier(node: ast.Modifier) -> str:
    if isinstance(node.value, ast.Core):
        return f"{node.word} {core(node.value)}"
    return f"{node.word} {gap(node.value)}" if node.value is not None else node.word


# ---------------------------------------------------------------------------------- clauses


@singledispatch
def clause(node: ast.Clause) -> str:
    """A clause on one line."""
    raise TypeError(f"no clause: {type(node).__name__}")


@clause.register
def _(node: ast.Severity) -> str:
    return f"severity {node.name.text}"


@clause.register
def _(node: ast.Tags) -> str:
    return f"tags {', '.join(tag.text for tag in node.tags)}"


@clause.register
def _(node: ast.Doc) -> str:
    return f"doc {node.text.text}"


@clause.register
def _(node: ast.Priority) -> str:
    return f"priority {_given(node.value, node.value_from)}"


@clause.register
def _(node: ast.By) -> str:
    return f"by {', '.join(_key_part(part) for part in node.parts)}"


def _key_part(node: ast.KeyPart) -> str:
    table = f" in {node.table.text}" if node.table is not None else ""
    return path(node.path) + table + (f" as {node.name.text}" if node.name is not None else "")


@clause.register
def _(node: ast.Over) -> str:
    sources = ", ".join(core(source) for source in node.sources)
    return f"over {sources}" + (f" {window(node.window)}" if node.window is not None else "")


def window(node: ast.Window) -> str:
    parts = [f"window {node.kind.text}"]
    if node.size is not None:
        parts.append(node.size.text)
    if node.every is not None:
        parts.append(f"every {node.every.text}")
    if node.cap is not None:
        parts.append(f"cap {node.cap.text}")
    return " ".join(parts)


@clause.register
def _(node: ast.Match) -> str:
    return f"match {pattern(node.pattern)}"


@clause.register
def _(node: ast.Within) -> str:
    limit = node.limit.text if node.limit is not None else "unbounded"
    return f"within {limit}{' per step' if node.per_step else ''}"


@clause.register
def _(node: ast.Where) -> str:
    return f"where {expression(node.condition)}"


@clause.register
def _(node: ast.When) -> str:
    return f"when {expression(node.condition)}"


@clause.register
def _(node: ast.Cancel) -> str:
    return f"cancel on {core(node.on)}"


@clause.register
def _(node: ast.AfterMatch) -> str:
    if node.skip == "no skip":
        return "after match no skip"
    target = f" {node.target.text}" if node.target is not None else ""
    return f"after match skip {node.skip}{target}"


@clause.register
def _(node: ast.Choose) -> str:
    return f"{node.what} {node.word.text}"


@clause.register
def _(node: ast.Limit) -> str:
    return f"limit {_given(node.runs, node.runs_from)} runs"


@clause.register
def _(node: ast.Suppress) -> str:
    by = f" by {names(node.by)}" if node.by is not None else ""
    return f"suppress{by} for {node.lasting.text}"


@clause.register
def _(node: ast.ResolveOn) -> str:
    return f"resolve on {core(node.on)}"


@clause.register
def _(node: ast.ResolveWhen) -> str:
    return f"resolve when {expression(node.condition)}"


@clause.register
def _(node: ast.Alert) -> str:
    attributes = f" {object_(node.attributes)}" if node.attributes is not None else ""
    return f"alert {node.message.text}{attributes}"


@clause.register
def _(node: ast.Emit) -> str:
    return f"emit {node.event.text} {object_(node.fields)}"


@clause.register
def _(node: ast.Notify) -> str:
    return f"notify {', '.join(name.text for name in node.destinations)}"


def names(given: Iterable[ast.Name]) -> str:
    return ", ".join(name.text for name in given)


# ---------------------------------------------------------------------------------- declarations


def type_(node: ast.TypeExpression) -> str:
    if isinstance(node, ast.NamedType):
        text = node.name.text + (f"({node.argument})" if node.argument is not None else "")
    elif isinstance(node, ast.EnumType):
        text = f"enum({', '.join(value.text for value in node.values)})"
    elif isinstance(node, ast.ListType):
        text = f"[{type_(node.item)}]"
    else:
        text = f"{{{', '.join(field(item) for item in node.fields)}}}"
    return text + ("?" if node.optional else "")


def field(node: ast.FieldDeclaration, name_width: int = 0) -> str:
    """`name: type @attributes`, the name padded so that types stand in one column."""
    head = f"{quoted(node.name.text)}:".ljust(name_width)
    return " ".join((head, type_(node.type), *(attribute(item) for item in node.attributes)))


def attribute(node: ast.Attribute) -> str:
    return f"@{node.name.text}" + (f"({arguments(node.arguments)})" if node.arguments else "")


def sources(given: Iterable[ast.SourceOption]) -> str:
    """Everything behind the closing brace, each with a space before it."""
    return "".join(f" {source_option(item)}" for item in given)


def source_option(node: ast.SourceOption) -> str:
    parts: list[str] = [node.word]
    if node.name is not None:
        parts.append(node.name.text)
    if node.value is not None:
        parts.append(node.value.text)
    return " ".join(parts)


def parameter(node: ast.Parameter) -> str:
    default = f" = {expression(node.default)}" if node.default is not None else ""
    return f"{node.name.text}: {type_(node.type)}{default}"


def header(node: ast.Declaration) -> str:
    """The declaration up to its `{`, or all of it when it has no block."""
    if isinstance(node, ast.EventDeclaration):
        parent = f" extends {node.parent.text}" if node.parent is not None else ""
        value = f" {node.discriminator.text}" if node.discriminator is not None else ""
        return f"event {node.name.text}{parent}{value}"
    if isinstance(node, ast.TableDeclaration):
        return f"table {node.name.text}"
    if isinstance(node, ast.ListDeclaration):
        value = f" = {expression(node.value)}" if node.value is not None else ""
        return f"list {node.name.text}: {type_(node.type)}{value}{sources(node.sources)}"
    if isinstance(node, ast.FeatureDeclaration):
        by, span = names(node.by), window(node.window)
        return f"feature {node.name.text} = {expression(node.value)} by {by} {span}"
    if isinstance(node, ast.FilterDeclaration):
        return f"filter {node.name.text} = {core(node.core)}"
    if isinstance(node, ast.DefDeclaration):
        return f"def {node.name.text}({names(node.parameters)}) = {expression(node.value)}"
    if isinstance(node, ast.TemplateDeclaration):
        return f"template {node.name.text}({', '.join(map(parameter, node.parameters))})"
    if isinstance(node, ast.RuleInstance):
        given = arguments(node.arguments)
        return f"rule {node.name.text} = {node.template.text}({given})"
    word, name = (
        ("rule", node.name) if isinstance(node, ast.RuleDeclaration) else ("test", node.rule)
    )
    return f"{word} {name.text}" + (f" {node.title.text}" if node.title is not None else "")


def test_step(node: ast.TestStep, at_width: int = 0) -> str:
    """A line of a test; `at` durations are padded so that events stand in one column."""
    if isinstance(node, ast.TestEvent):
        return f"at {node.at.text.ljust(at_width)} {node.event.text} {object_(node.value)}"
    if isinstance(node, ast.TestAdvance):
        return f"advance {node.by.text}"
    if isinstance(node, ast.TestGiven):
        return f"given {node.name.text} = {expression(node.value)}"
    at = f" at {node.at.text}" if node.at is not None else ""
    if not node.count and not at and node.fields is None and node.where is None:
        return "expect no alert"
    fields = f" {object_(node.fields)}" if node.fields is not None else ""
    where = f" where {expression(node.where)}" if node.where is not None else ""
    return f"expect{at} {node.count} alert{'s' if node.count != 1 else ''}{fields}{where}"
