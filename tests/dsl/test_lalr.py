"""The parser equals Lark: the same calls of the builder, the same refusals, for any text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from dsl import tables
from dsl.lalr import Parser, Refused, Token
from dsl.source import Source
from dsl.split import split

RULES = Path(__file__).parents[2] / "rules"
EXAMPLES = Path(__file__).parent / "examples.cep"
Outcome: TypeAlias = object


class Recorder:
    """A builder whose methods give back their name and what they were called with."""

    def __getattr__(self, name: str) -> Callable[[list[Any]], object]:
        if name.startswith("_") or not name.islower():  # what Lark asks for besides rules
            raise AttributeError(name)
        return lambda children: (name, [_plain(child) for child in children])


def _plain(child: object) -> object:
    if isinstance(child, Token | lark.Token):
        return (child.type, str(child), child.start_pos)
    return child


@cache
def ours() -> Parser:
    return Parser(tables.make(tables.lark_of_grammar()), Recorder())


@cache
def theirs() -> lark.Lark:
    return lark.Lark(
        tables.GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        start=list(tables.STARTS),
        keep_all_tokens=True,
        maybe_placeholders=True,
        transformer=Recorder(),  # type: ignore[arg-type]  # any object with methods will do
    )


def by_us(text: str, what: str) -> Outcome:
    around = "x { "  # the text stands in the middle of a file
    try:
        whole = ours().parse(f"{around}{text} }} y", len(around), len(around) + len(text), what)
    except Refused as refused:
        return "refused", refused.at - len(around), refused.text, refused.allowed
    return _moved(_plain(whole), -len(around))


def _moved(found: object, by: int) -> object:
    match found:
        case (str(kind), str(text), int(start)):
            return (kind, text, start + by)
        case (str(name), list(children)):
            return (name, [_moved(child, by) for child in children])
    return found


def by_lark(text: str, what: str) -> Outcome:
    try:
        return _plain(theirs().parse(text, start=what))
    except UnexpectedInput as error:
        if isinstance(error, UnexpectedToken) and error.token.type != "$END":
            return "refused", error.token.start_pos, str(error.token), set(error.expected)
        if isinstance(error, UnexpectedCharacters):
            at = error.pos_in_stream
            return "refused", at, text[at], set(error.allowed)
        return "refused", None, "", set(error.expected)  # type: ignore[attr-defined]  # at the end


def check(text: str, what: str) -> None:
    mine, lark_s = by_us(text, what), by_lark(text, what)
    if isinstance(lark_s, tuple) and lark_s[:3] == ("refused", None, ""):
        assert isinstance(mine, tuple)
        mine = ("refused", None, *mine[2:])
    if isinstance(lark_s, tuple) and lark_s[-1] == {"<END-OF-FILE>"}:
        lark_s = (*lark_s[:-1], set())
    assert mine == lark_s


@cache
def declarations() -> tuple[str, ...]:
    files = [EXAMPLES, *sorted(RULES.rglob("*.cep"))]
    found = []
    for file in files:
        source = Source(str(file), file.read_text(encoding="utf-8"))
        chunks, problems = split(source)
        assert problems == []
        found += [source.text[chunk.start : chunk.end] for chunk in chunks]
    return tuple(found)


def test_every_declaration_of_ours_is_recognised_as_by_lark() -> None:
    for text in declarations():
        check(text, "declaration")


PIECES = re.compile(r"\s+|\w+|.", re.DOTALL)
INSERTED = st.sampled_from(
    [
        *(
            "->",
            "=>",
            "->>",
            "-[",
            "]->",
            "..",
            "?",
            "??",
            "?.",
            "+",
            "{3,}",
            "{,2}?",
            "*",
            "{",
            "}",
        ),
        *("[", "]", "(", ")", ",", ":", "not", "by", "match", "rule", "as", "5m", "1.5", "/x+/i"),
        *("=~", "==", "=", "and", "if", "\n", " ", "// c\n", "#", '"a"'),
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A declaration with some of its words and signs taken out, put in, doubled or cut off."""
    pieces = PIECES.findall(draw(st.sampled_from(declarations())))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(pieces)))
        match draw(st.sampled_from(("out", "in", "in", "double", "cut"))):
            case "out":
                del pieces[at : at + draw(st.integers(1, 3))]
            case "in":
                pieces.insert(at, draw(INSERTED))
            case "double":
                pieces[at:at] = pieces[at : at + 2]
            case "cut":
                del pieces[at:]
    return "".join(pieces)


@settings(deadline=None, max_examples=400)
@given(text=damaged())
def test_damaged_declarations_are_refused_as_by_lark(text: str) -> None:
    check(text, "declaration")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(INSERTED, st.sampled_from(["a", "b.c", "1", "(x)"])), max_size=12))
def test_expressions_are_read_as_by_lark(pieces: list[str]) -> None:
    check(" ".join(pieces), "expression")


def test_tables_are_kept_and_a_broken_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = tables.tables()
    (file,) = (tmp_path / "cep").iterdir()
    assert tables.tables() == made == json.loads(file.read_bytes())
    file.write_bytes(file.read_bytes()[:1000])
    made = tables.tables()
    assert tables.tables() == made == json.loads(file.read_bytes())


def test_without_a_writable_home_tables_are_made_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert tables.tables()["starts"].keys() == set(tables.STARTS)
