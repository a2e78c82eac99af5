"""What the files of a namespace declare, for looking things up by name.

A declaration that does not parse right now (somebody is typing in it) is left out here; the steps
of the rule at hand are read from its text instead (`aliases`), so that they are known while typing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dsl import ast, printer
from dsl.parser import parse_file
from dsl.source import Source, Span
from dsl.split import split

KINDS: Mapping[type[ast.Node], str] = {
    ast.EventDeclaration: "event",
    ast.FilterDeclaration: "filter",
    ast.RuleDeclaration: "rule",
    ast.RuleInstance: "rule",
    ast.TemplateDeclaration: "template",
    ast.TableDeclaration: "table",
    ast.ListDeclaration: "list",
    ast.FeatureDeclaration: "feature",
    ast.DefDeclaration: "def",
}
_ALIAS = re.compile(r"\b([A-Za-z_]\w*)\s*:\s*([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Member:
    """A field of an event or table; `type` as written."""

    name: str
    type: str
    span: Span


@dataclass(frozen=True, slots=True)
class Symbol:
    """A declared name; `span` is the name's place, `heading` one line that shows the declaration.

    `base` is the event or filter that a filter narrows down, or the event that an event extends.
    """

    name: str
    kind: str
    span: Span
    heading: str
    note: str = ""
    members: tuple[Member, ...] = ()
    base: str | None = None


@dataclass(slots=True)
class Symbols:
    """All declared names; the first declaration of a name counts, as for the checker."""

    by_name: dict[str, Symbol] = field(default_factory=dict)

    @staticmethod
    def of(sources: Iterable[Source]) -> Symbols:
        found = Symbols()
        for source in sources:
            file, _ = parse_file(source)
            for declaration in file.declarations:
                if type(declaration) in KINDS:
                    symbol = _symbol(declaration)
                    found.by_name.setdefault(symbol.name, symbol)
        found.by_name = {
            name: replace(symbol, members=found._members(symbol))
            for name, symbol in found.by_name.items()
        }
        return found

    def _members(self, symbol: Symbol) -> tuple[Member, ...]:
        """The fields of an event or table, those of the events it extends included."""
        members: tuple[Member, ...] = ()
        seen: set[str] = set()
        while symbol.name not in seen:
            seen.add(symbol.name)
            members = (*symbol.members, *members)
            if symbol.kind != "event" or symbol.base not in self.by_name:
                break
            symbol = self.by_name[symbol.base]
        return members

    def event_of(self, name: str) -> Symbol | None:
        """The event type that `name`, an event or a filter, stands for."""
        symbol = self.by_name.get(name)
        for _ in range(len(self.by_name)):
            if symbol is None or symbol.kind == "event":
                return symbol
            symbol = self.by_name.get(symbol.base or "")
        return None


def _symbol(declaration: ast.Node) -> Symbol:
    name = declaration.name  # type: ignore[attr-defined]  # every declaration in KINDS has one
    kind = KINDS[type(declaration)]
    heading, note, base = f"{kind} {name.text}", "", None
    members: tuple[Member, ...] = ()
    if isinstance(declaration, ast.EventDeclaration | ast.TableDeclaration):
        members = tuple(_members(declaration.fields))
        if isinstance(declaration, ast.EventDeclaration) and declaration.parent is not None:
            base = declaration.parent.text
    elif isinstance(declaration, ast.FilterDeclaration):
        heading = f"filter {name.text} = {printer.core(declaration.core)}"
        base = declaration.core.name.text
    elif isinstance(declaration, ast.RuleDeclaration):
        note = declaration.title.value if declaration.title is not None else ""
        docs = [clause.text.value for clause in declaration.clauses if isinstance(clause, ast.Doc)]
        note = "\n\n".join(filter(None, (note, *docs)))
    return Symbol(name.text, kind, name.span, heading, note, members, base)


def _members(fields: Sequence[ast.FieldDeclaration]) -> Iterable[Member]:
    for item in fields:
        yield Member(item.name.text, printer.type_(item.type), item.name.span)


def chunk_at(source: Source, offset: int) -> Span:
    """The declaration around a place, whether or not it parses."""
    chunks, _ = split(source)
    for chunk in chunks:
        if chunk.start <= offset <= chunk.end:
            return Span(source.path, chunk.start, chunk.end)
    return Span(source.path, 0, len(source.text))


def aliases(source: Source, offset: int, symbols: Symbols) -> dict[str, tuple[str, Span]]:
    """alias → (event or filter it binds, its place), for the declaration around `offset`."""
    chunk = chunk_at(source, offset)
    found: dict[str, tuple[str, Span]] = {}
    for match in _ALIAS.finditer(source.text, chunk.start, chunk.end):
        alias, core = match.groups()
        if symbols.event_of(core) is not None:
            found.setdefault(alias, (core, Span(source.path, *match.span(1))))
    return found
