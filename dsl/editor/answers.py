"""What an editor shows at a place of a rule file: pure functions, used by the language server.

    definition, hover, completions:  (namespace, source, offset) → answer

They work on text that does not parse, since text that is being typed rarely does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsl.editor.symbols import Member, Symbol, Symbols, aliases, chunk_at
from dsl.editor.words import WORDS
from dsl.functions import described
from dsl.operators import AGGREGATES
from dsl.source import Source, Span
from dsl.split import TOKEN

_NAME = re.compile(r"[A-Za-z_]\w*")
_BEFORE_DOT = re.compile(r"([A-Za-z_]\w*)\s*(?:\)\s*)?\??\.\s*\Z")


@dataclass(frozen=True, slots=True)
class Completion:
    """`kind` is that of a symbol, or `field`, `step`, `function` or `word`."""

    label: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Word:
    """The name under the cursor, and the name in front of its dot."""

    text: str
    span: Span
    owner: str | None


def word_at(source: Source, offset: int) -> Word | None:
    """The name at `offset`, or just before it; None in strings and comments."""
    kind = _token_kind(source, offset)
    if kind in ("comment", "string"):
        return None
    line_start = source.text.rfind("\n", 0, offset) + 1
    for match in _NAME.finditer(source.text, line_start):
        if match.start() > offset:
            return None
        if match.end() >= offset:
            owner = _BEFORE_DOT.search(source.text, line_start, match.start())
            span = Span(source.path, match.start(), match.end())
            return Word(match[0], span, owner[1] if owner else None)
    return None


def definition(symbols: Symbols, source: Source, offset: int) -> Span | None:
    """Where the name at `offset` is declared."""
    word = word_at(source, offset)
    if word is None:
        return None
    member = _member(symbols, source, offset, word)
    if member is not None:
        return member.span
    steps = aliases(source, offset, symbols)
    if word.owner is None and word.text in steps:
        return steps[word.text][1]
    symbol = symbols.by_name.get(word.text)
    return symbol.span if symbol is not None else None


def hover(symbols: Symbols, source: Source, offset: int) -> tuple[str, Span] | None:
    """Markdown about the name at `offset`, and the name's place."""
    word = word_at(source, offset)
    if word is None:
        return None
    member = _member(symbols, source, offset, word)
    steps = aliases(source, offset, symbols)
    symbol = symbols.by_name.get(word.text)
    if member is not None:
        text = _code(f"{member.name}: {member.type}")
    elif word.owner is None and word.text in steps:
        text = _code(f"{word.text}: {steps[word.text][0]}")
    elif symbol is not None:
        text = _described(symbol)
    elif word.text in AGGREGATES and word.text not in described():
        text = f"`{word.text}(step.field)`: {AGGREGATES[word.text].meaning}"
    elif word.text in described():
        written, meaning = described()[word.text]
        text = f"`{written}`: {meaning}"
    elif word.text in WORDS:
        text = f"`{word.text}`: {WORDS[word.text]}"
    else:
        return None
    return text, word.span


def completions(symbols: Symbols, source: Source, offset: int) -> list[Completion]:
    """What may be written at `offset`, likeliest first; editors filter by what is typed."""
    if _token_kind(source, offset) in ("comment", "string"):
        return []
    begin = offset
    while begin and (source.text[begin - 1].isalnum() or source.text[begin - 1] == "_"):
        begin -= 1
    owner = _BEFORE_DOT.search(source.text, source.text.rfind("\n", 0, begin) + 1, begin)
    if owner is not None:
        event = _event_named(symbols, source, offset, owner[1])
        return [] if event is None else list(_fields(event))
    found: list[Completion] = []
    within = _enclosing_event(symbols, source, offset)
    if within is not None:
        found += _fields(within)
    found += [
        Completion(alias, "step", core)
        for alias, (core, _) in aliases(source, offset, symbols).items()
    ]
    found += [Completion(s.name, s.kind, s.heading) for s in symbols.by_name.values()]
    functions = {name: spec.meaning for name, spec in AGGREGATES.items() if name != "nth"}
    functions |= {name: meaning for name, (_, meaning) in described().items()}
    found += [Completion(name, "function", meaning) for name, meaning in functions.items()]
    found += [Completion(word, "word", meaning) for word, meaning in WORDS.items()]
    return found


def _described(symbol: Symbol) -> str:
    lines = [symbol.heading]
    if symbol.members:
        lines = [f"{symbol.heading} {{", *(f"  {m.name}: {m.type}" for m in symbol.members), "}"]
    return _code("\n".join(lines)) + (f"\n\n{symbol.note}" if symbol.note else "")


def _code(text: str) -> str:
    return f"```cep\n{text}\n```"


def _fields(event: Symbol) -> Iterator[Completion]:
    for member in event.members:
        yield Completion(member.name, "field", f"{event.name}.{member.name}: {member.type}")


def _member(symbols: Symbols, source: Source, offset: int, word: Word) -> Member | None:
    """The field that the word names: of what is before its dot, or of the event around it."""
    if word.owner is not None:
        event = _event_named(symbols, source, offset, word.owner)
    else:
        event = _enclosing_event(symbols, source, word.span.start)
    members = () if event is None else event.members
    return next((member for member in members if member.name == word.text), None)


def _event_named(symbols: Symbols, source: Source, offset: int, name: str) -> Symbol | None:
    """The event type of an alias, filter or event of this name."""
    steps = aliases(source, offset, symbols)
    return symbols.event_of(steps[name][0] if name in steps else name)


def _enclosing_event(symbols: Symbols, source: Source, offset: int) -> Symbol | None:
    """The event type whose `[…]` or `{…}` the place is in."""
    open_: list[str | None] = []
    last = None
    chunk = chunk_at(source, offset)
    for match in TOKEN.finditer(source.text, chunk.start, offset):
        kind = match.lastgroup
        if kind == "open":
            open_.append(last if match[0] in "[{" else None)
        elif kind == "close" and open_:
            open_.pop()
        if kind != "space":
            last = match[0] if kind == "word" else None
    named = [symbols.event_of(name) for name in reversed(open_) if name is not None]
    return next((event for event in named if event is not None), None)


def _token_kind(source: Source, offset: int) -> str | None:
    """What kind of token the place is inside of."""
    chunk = chunk_at(source, offset)
    for match in TOKEN.finditer(source.text, chunk.start):
        if match.start() >= offset:
            return None
        if match.end() >= offset:
            closed = match.end() == offset and match.lastgroup == "string"
            return None if closed else match.lastgroup
    return None
