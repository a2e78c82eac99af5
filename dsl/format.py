"""The formatter: one layout for everybody, comments kept.

Contract: `parse(format(text)) == parse(text)`, `format(format(text)) == format(text)`, and every
comment of `text` is in the result.  A comment stays before the line it stood before, or behind the
line it stood behind; one inside a long clause moves in front of that clause.  Refuses text with
syntax errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dsl import ast, printer
from dsl.diagnostics import RuleError, has_errors
from dsl.parser import parse_file
from dsl.print_expression import entry, expression, logic_operands, quoted
from dsl.source import Source, Span
from dsl.split import TOKEN

WIDTH = 100
_ARROW_INDENT = 5
_BLANK_BEFORE = re.compile(r"\n[ \t\r\f]*\n[ \t\r\f]*\Z")


def format_text(text: str, path: str = "<text>") -> str:
    """`text` in the one layout.  Raises RuleError when it has syntax errors."""
    source = Source(path, text)
    file, problems = parse_file(source)
    if has_errors(problems):
        raise RuleError(problems, {path: source})
    writer = _Writer(text, _comments(text))
    previous_block = False
    for declaration in file.declarations:
        lines = len(writer.lines)
        _declaration(writer, declaration, previous_block)
        previous_block = len(writer.lines) - lines > 1 and writer.lines[-1].startswith("}")
    writer.flush(len(text) + 1, 0)
    return "\n".join(writer.lines) + "\n" if writer.lines else ""


@dataclass(frozen=True, slots=True)
class _Comment:
    start: int
    text: str
    own_line: bool


def _comments(text: str) -> list[_Comment]:
    found: list[_Comment] = []
    position, fresh = 0, True
    while (token := TOKEN.match(text, position)) is not None:
        if token.lastgroup == "comment":
            found.append(_Comment(token.start(), token[0].rstrip(), fresh))
        elif token.lastgroup == "space":
            fresh = fresh or "\n" in token[0]
        else:
            fresh = False
        position = token.end()
    return found


@dataclass(slots=True)
class _Writer:
    """Lines so far; comments are placed by their offset in the old text."""

    text: str
    comments: list[_Comment]
    lines: list[str] = field(default_factory=list)
    next_comment: int = 0
    at_block_start: bool = True

    def flush(self, before: int, indent: int) -> None:
        """Writes the comments that stand before an offset of the old text."""
        while self.next_comment < len(self.comments):
            comment = self.comments[self.next_comment]
            if comment.start >= before:
                return
            self.next_comment += 1
            if comment.own_line or not self.lines:
                self._separate(comment.start)
                self.lines.append(" " * indent + comment.text)
                self.at_block_start = False
            else:
                self.lines[-1] += f"  {comment.text}"

    def has_comments(self, start: int, end: int) -> bool:
        later = self.comments[self.next_comment :]
        return any(start <= comment.start < end for comment in later)

    def item(self, start: int, end: int, indent: int, lines: Sequence[str]) -> None:
        """An item of the old text's [start, end) as `lines`, its comments before it."""
        self.flush(start, indent)
        self._separate(start)
        self._hoist(end, indent)
        self.lines.extend(" " * indent + line if line else line for line in lines)
        self.at_block_start = False

    def _hoist(self, end: int, indent: int) -> None:
        while self.next_comment < len(self.comments):
            comment = self.comments[self.next_comment]
            if comment.start >= end:
                return
            self.next_comment += 1
            self.lines.append(" " * indent + comment.text)

    def _separate(self, start: int) -> None:
        """Keeps at most one blank line the author left, and none at the start of a block."""
        if not self.at_block_start and _BLANK_BEFORE.search(self.text, max(0, start - 500), start):
            self.blank()

    def blank(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")


def _declaration(writer: _Writer, node: ast.Declaration, previous_block: bool) -> None:
    span = node.span
    if previous_block:
        _trailing(writer, span)
        writer.blank()
    header = printer.header(node)
    if isinstance(node, ast.EventDeclaration | ast.TableDeclaration):
        _fields(writer, node, header)
    elif isinstance(node, ast.RuleDeclaration | ast.TemplateDeclaration):
        _open(writer, span, header)
        for clause in node.clauses:
            lines = _clause(writer.text, clause)
            writer.item(clause.span.start, clause.span.end, 2, lines)
        _close(writer, span.end - 1, "}")
    elif isinstance(node, ast.TestDeclaration):
        _open(writer, span, header)
        width = max((len(s.at.text) for s in node.steps if isinstance(s, ast.TestEvent)), default=0)
        for step in node.steps:
            line = printer.test_step(step, width)
            writer.item(step.span.start, step.span.end, 2, [line])
        _close(writer, span.end - 1, "}")
    elif isinstance(node, ast.FilterDeclaration):
        prefix = f"filter {node.name.text} = "
        writer.item(span.start, span.end, 0, _wrap_core(prefix, node.core, "", 0))
    else:
        writer.item(span.start, span.end, 0, [header])


def _trailing(writer: _Writer, span: Span) -> None:
    """Comments behind the last closing brace belong to it, before any blank line."""
    while writer.next_comment < len(writer.comments):
        comment = writer.comments[writer.next_comment]
        if comment.own_line or comment.start >= span.start:
            return
        writer.flush(comment.start + 1, 0)


def _open(writer: _Writer, span: Span, header: str) -> None:
    writer.flush(span.start, 0)
    if writer.lines and writer.lines[-1] and not _is_comment(writer.lines[-1]):
        writer.blank()
    writer.item(span.start, span.start, 0, [f"{header} {{"])
    writer.at_block_start = True


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(("//", "#"))


def _close(writer: _Writer, brace: int, text: str) -> None:
    writer.flush(brace, 2)
    writer.lines.append(text)
    writer.at_block_start = False


def _fields(
    writer: _Writer, node: ast.EventDeclaration | ast.TableDeclaration, header: str
) -> None:
    span, behind = node.span, printer.sources(node.sources)
    body = "  ".join(printer.field(item) for item in node.fields)
    one_line = f"{header} {{ {body} }}{behind}" if body else f"{header} {{}}{behind}"
    written_on_one = "\n" not in writer.text[span.start : span.end]
    if written_on_one and len(one_line) <= WIDTH:
        writer.item(span.start, span.end, 0, [one_line])
        return
    _open(writer, span, header)
    width = max((len(quoted(item.name.text)) for item in node.fields), default=0) + 1
    for item in node.fields:
        writer.item(item.span.start, item.span.end, 2, [printer.field(item, width)])
    sources_start = node.sources[0].span.start if node.sources else span.end
    _close(writer, writer.text.rindex("}", span.start, sources_start), f"}}{behind}")


# ---------------------------------------------------------------------------------- long clauses


def _clause(text: str, node: ast.Clause) -> list[str]:
    """A clause, on one line if the author wrote it so and it fits."""
    line = printer.clause(node)
    written_on_one = "\n" not in text[node.span.start : node.span.end]
    fits = len(line) + 2 <= WIDTH
    if isinstance(node, ast.Match) and isinstance(node.pattern, ast.Sequence):
        return [line] if written_on_one and fits else _sequence(node.pattern)
    if isinstance(node, ast.Match) and not fits:
        return _wrap_alternative("match ", node.pattern, 2)
    if isinstance(node, ast.Where | ast.When) and not fits:
        word = "where " if isinstance(node, ast.Where) else "when "
        return _wrap(word, node.condition, "", 2)
    if isinstance(node, ast.Alert) and node.attributes is not None:
        last_line = line.rsplit("\n", 1)[-1]
        if "\n" in _object_text(text, node.attributes) or len(last_line) + 2 > WIDTH:
            return _alert(node.message, node.attributes)
    return [line]


def _object_text(text: str, node: ast.Object) -> str:
    return text[node.span.start : node.span.end]


def _alert(message: ast.String, attributes: ast.Object) -> list[str]:
    entries = [f"  {entry(item)}," for item in attributes.entries]
    if entries:
        entries[-1] = entries[-1][:-1]
    return [f"alert {message.text} {{", *entries, "}"]


def _sequence(node: ast.Sequence) -> list[str]:
    lines = _wrap_alternative("match ", node.first, 2)
    pad = " " * (_ARROW_INDENT - 2)
    for follow in node.rest:
        prefix = f"{pad}{printer.arrow(follow.arrow)} "
        lines.extend(_wrap_alternative(prefix, follow.pattern, 2))
    return lines


def _wrap_alternative(prefix: str, node: ast.Pattern, indent: int) -> list[str]:
    text = printer.pattern(node, 1)
    if len(prefix) + len(text) + indent <= WIDTH:
        return [prefix + text]
    if isinstance(node, ast.Step):
        return _wrap_step(prefix, node, indent)
    if isinstance(node, ast.Repetition) and isinstance(node.pattern, ast.Step):
        spaced = " " if node.pattern.core.by is not None else ""
        return _wrap_step(prefix, node.pattern, indent, spaced + printer.quantifier(node))
    if isinstance(node, ast.Absent) and isinstance(node.pattern, ast.Step):
        lasting = f" for {node.within.text}" if node.within is not None else ""
        return _wrap_step(f"{prefix}not ", node.pattern, indent, lasting)
    if isinstance(node, ast.SomeOf):
        pad = " " * (len(prefix) + 2)
        options = [f"{pad}{printer.pattern(option)}," for option in node.options]
        options[-1] = f"{options[-1][:-1]})"
        return [f"{prefix}{printer.some_of(node)} (", *options]
    return [prefix + text]


def _wrap_step(prefix: str, node: ast.Step, indent: int, behind: str = "") -> list[str]:
    alias = f"{node.alias.text}: " if node.alias is not None else ""
    return _wrap_core(prefix + alias, node.core, behind, indent)


def _wrap_core(prefix: str, node: ast.Core, behind: str, indent: int) -> list[str]:
    behind = printer.step_key(node) + behind
    if node.condition is None:
        return [f"{prefix}{node.name.text}{behind}"]
    return _wrap(f"{prefix}{node.name.text}[", node.condition, f"]{behind}", indent)


def _wrap(prefix: str, node: ast.Expression, behind: str, indent: int) -> list[str]:
    """`prefix`, a chain of and/or filled into lines below each other, `behind`."""
    if not isinstance(node, ast.Logic):
        return [prefix + expression(node) + behind]
    first, *rest = logic_operands(node)
    lines, line = [], prefix + first
    for number, operand in enumerate(rest, 1):
        more = f" {node.op} {operand}"
        tail = behind if number == len(rest) else ""
        if indent + len(line) + len(more) + len(tail) > WIDTH:
            lines.append(line)
            line = " " * len(prefix) + more[1:]
        else:
            line += more
    return [*lines, line + behind]
