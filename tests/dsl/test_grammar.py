"""The grammar: free of conflicts, and the whole intended language parses."""

from __future__ import annotations

import logging
from pathlib import Path

import lark
import pytest

from dsl import Source, ast
from dsl.parser import children, parse_expression, parse_file
from dsl.tables import GRAMMAR

EXAMPLES = Path(__file__).parent / "examples.cep"


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    level = lark.logger.level
    lark.logger.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG):
            lark.Lark(
                GRAMMAR.read_text(encoding="utf-8"),
                parser="lalr",
                lexer="contextual",
                start=["declaration", "expression"],
                keep_all_tokens=True,
                maybe_placeholders=True,
                debug=True,
            )
    finally:
        lark.logger.setLevel(level)
    assert "conflict" not in caplog.text.lower()


def test_all_twelve_examples_of_the_design_parse() -> None:
    text = EXAMPLES.read_text(encoding="utf-8")
    file, problems = parse_file(Source("examples.cep", text))
    assert problems == []
    assert len(file.declarations) == 29


def test_every_place_is_the_text_of_its_node() -> None:
    source = Source("examples.cep", EXAMPLES.read_text(encoding="utf-8"))
    file, _ = parse_file(source)
    pending: list[ast.Node] = list(file.declarations)
    checked = 0
    while pending:
        node = pending.pop()
        pending.extend(children(node))
        if isinstance(node, ast.Name):
            assert source.text[node.span.start : node.span.end].strip("`") == node.text
        elif isinstance(node, ast.Expression) and getattr(node, "parameter", None) is None:
            again, problems = parse_expression(source, node.span.start, node.span.end)
            # A parenthesis around an operand is not part of its place.
            if not problems:
                assert again == node
                checked += 1
        for child in children(node):
            assert node.span.start <= child.span.start <= child.span.end <= node.span.end
    assert checked > 250


def test_words_of_the_language_are_names_where_no_keyword_can_stand() -> None:
    text = "event list { event: timestamp @time  by: string  match: int }\n"
    text += "rule test { by by match rule: list[match > 5 and by == 'x'] alert '{rule.by}' }"
    file, problems = parse_file(Source("x", text))
    assert problems == []
    assert [type(d).__name__ for d in file.declarations] == ["EventDeclaration", "RuleDeclaration"]
