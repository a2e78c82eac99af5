"""Hover, completion and go-to-definition, also in text that does not parse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import dsl.editor
from dsl import tables
from dsl.editor.answers import completions, definition, hover
from dsl.editor.symbols import Symbols
from dsl.editor.words import WORDS
from dsl.source import Source

SCHEMA = """event Login { ts: timestamp @time  user: string  ok: bool  geo: {lat: float}? }
event Transfer { ts: timestamp @time  user: string  amount: decimal }
filter failed = Login[not ok]
"""
RULE = """rule takeover "Guessed, then spent" {
  doc "Call the owner."
  by user
  match f: failed{3,} -> out: Transfer[amount > 100]
  within 5m
  alert "{user}: {out.amount}"
}
"""


class Editor:
    """A schema file and a rule file; `|` in the rule file is the cursor."""

    def __init__(self, text: str) -> None:
        self.offset = text.index("|")
        self.rule = Source("rule.cep", text.replace("|", "", 1))
        self.schema = Source("schema.cep", SCHEMA)
        self.symbols = Symbols.of([self.schema, self.rule])

    def hover(self) -> str | None:
        found = hover(self.symbols, self.rule, self.offset)
        return found[0] if found else None

    def definition(self) -> str | None:
        """The declaring line's text from the name on."""
        span = definition(self.symbols, self.rule, self.offset)
        if span is None:
            return None
        text = (self.schema if span.path == "schema.cep" else self.rule).text
        return text[span.start :].split("\n")[0]

    def labels(self) -> list[str]:
        return [item.label for item in completions(self.symbols, self.rule, self.offset)]


def at(fragment: str) -> Editor:
    """The cursor in RULE; `fragment` shows where."""
    plain = fragment.replace("|", "")
    assert RULE.count(plain) == 1
    return Editor(RULE.replace(plain, fragment))


@pytest.mark.parametrize(
    ("place", "declared"),
    [
        ("f: fai|led{3", "failed = Login[not ok]"),
        ("out: Trans|fer[", "Transfer {"),
        ("Transfer[am|ount > 100", "amount: decimal }"),
        ("{ou|t.amount}", None),  # in a string
    ],
)
def test_definition(place: str, declared: str | None) -> None:
    found = at(place).definition()
    assert (found or "").startswith(declared or "") and (found is None) == (declared is None)


def test_definition_of_an_alias_is_its_step() -> None:
    editor = Editor(RULE.replace("within 5m", "within 5m where o|ut.amount > 1"))
    assert (editor.definition() or "").startswith("out: Transfer[")


def test_hover_shows_declarations_fields_and_words() -> None:
    assert at("f: fai|led{3").hover() == "```cep\nfilter failed = Login[not ok]\n```"
    assert "geo: {lat: float}?" in (
        Editor("event X { a: int } rule r { match Log|in }").hover() or ""
    )
    assert at("Transfer[am|ount > 100").hover() == "```cep\namount: decimal\n```"
    assert "longest time" in (at("with|in 5m").hover() or "")
    assert "Call the owner." in (at("rule take|over").hover() or "")
    assert "number of events" in (
        Editor(RULE.replace("within 5m", "within 5m where co|unt(f) > 3")).hover() or ""
    )
    assert at("{us|er}:").hover() is None


def test_completion_behind_a_dot_gives_the_fields_of_the_step_only() -> None:
    broken = RULE.replace("within 5m", "within 5m where out.|")
    assert Editor(broken).labels() == ["ts", "user", "amount"]


def test_an_event_has_the_fields_of_the_one_it_extends() -> None:
    extended = "event Wire extends Transfer { bank: string }\n"
    labels = Editor(extended + RULE.replace("Transfer[amount > 100]", "Wire[|")).labels()
    assert labels[:4] == ["ts", "user", "amount", "bank"]


def test_completion_in_a_condition_begins_with_the_events_fields() -> None:
    broken = RULE.replace("Transfer[amount > 100]", "Transfer[|")
    labels = Editor(broken).labels()
    assert labels[:3] == ["ts", "user", "amount"]
    assert {"f", "failed", "sum", "lower", "within"} <= set(labels)


def test_completion_in_a_comment_or_string_is_empty() -> None:
    assert Editor("// wi|").labels() == []
    assert at('alert "{user|}: ').labels() == []


def test_every_place_of_a_file_has_an_answer() -> None:
    for offset in range(len(RULE) + 1):
        editor = Editor(f"{RULE[:offset]}|{RULE[offset:]}")
        editor.hover(), editor.definition(), editor.labels()


def grammar_words() -> set[str]:
    text = re.sub(r"^\s*//.*$", "", tables.GRAMMAR.read_text(), flags=re.M)
    return set(re.findall(r'"([a-z]{2,})"', text))


def test_every_word_of_the_grammar_is_coloured() -> None:
    path = Path(dsl.editor.__file__).with_name("cep.tmLanguage.json")
    grammar = json.loads(path.read_text())
    coloured: set[str] = set()
    pending: list[object] = [grammar]
    while pending:
        match pending.pop():
            case {"match": str(pattern), **rest}:
                re.compile(pattern)
                coloured |= {w for w in grammar_words() if re.search(rf"(?<!\w){w}(?!\w)", pattern)}
                pending.append(rest)
            case dict(node):
                pending.extend(node.values())
            case list(items):
                pending.extend(items)
    assert grammar_words() == coloured


def test_most_words_of_the_grammar_are_explained() -> None:
    assert set(WORDS) <= grammar_words()
