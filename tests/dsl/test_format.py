"""The formatter keeps meaning and comments, and formatting twice changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_strategies import expressions, filters, instances, patterns, rules, templates

from dsl import RuleError, Source, ast, printer
from dsl.format import format_text
from dsl.parser import parse_expression, parse_file
from dsl.print_expression import expression

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "tests/dsl/examples.cep", *sorted(ROOT.glob("rules/*/*.cep"))]


def parsed(text: str) -> ast.File:
    file, problems = parse_file(Source("x", text))
    assert problems == []
    return file


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_formatting_keeps_the_tree_and_every_comment(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    result = format_text(text)
    assert parsed(result) == parsed(text)
    for comment in re.findall(r"^\s*//.*$", text, re.MULTILINE):
        assert comment.strip() in result
    assert format_text(result) == result


@settings(max_examples=150, deadline=None)
@given(expressions)
def test_a_printed_expression_parses_to_itself(tree: Any) -> None:
    text = expression(tree)
    again, problems = parse_expression(Source("x", text), 0, len(text))
    assert (again, problems) == (tree, [])


@settings(max_examples=150, deadline=None)
@given(patterns)
def test_a_printed_pattern_parses_to_itself(tree: Any) -> None:
    text = f"rule r {{ match {printer.pattern(tree)} }}"
    (rule,) = parsed(text).declarations
    assert isinstance(rule, ast.RuleDeclaration)
    (match,) = rule.clauses
    assert isinstance(match, ast.Match)
    assert match.pattern == tree


@settings(max_examples=60, deadline=None)
@given(st.lists(rules | filters | templates | instances, max_size=3))
def test_formatting_generated_rules_keeps_them_and_settles(trees: list[Any]) -> None:
    written = []
    for tree in trees:
        head = printer.header(tree)
        if isinstance(tree, ast.RuleDeclaration | ast.TemplateDeclaration):
            head += " { " + " // c\n".join([*map(printer.clause, tree.clauses), "}"])
        written.append(head)
    text = "\n".join(written)
    result = format_text(text)
    assert parsed(result).declarations == tuple(trees)
    assert format_text(result) == result
    assert result.count("// c") >= text.count("// c")


def test_comments_stay_with_their_lines() -> None:
    text = """\
// head
event A { // open
  ts: timestamp @time // time
  # own line
  x: int
  // last
} // close

rule r {
  match a: A // first
    -> b: A
  within 5m


  alert "x"
}
// end"""
    assert (
        format_text(text)
        == """\
// head
event A {  // open
  ts: timestamp @time  // time
  # own line
  x:  int
  // last
}  // close

rule r {
  // first
  match a: A
     -> b: A
  within 5m

  alert "x"
}
// end
"""
    )


def test_long_conditions_are_filled_below_their_bracket() -> None:
    names = " and ".join(f"field_number_{n} == {n}" for n in range(9))
    result = format_text(f"rule r {{ match a: A -> b: Event[{names}]{{3,}} }}")
    assert max(map(len, result.splitlines())) <= 100
    assert parsed(result) == parsed(f"rule r {{ match a: A -> b: Event[{names}]{{3,}} }}")


def test_text_with_syntax_errors_is_refused() -> None:
    with pytest.raises(RuleError, match="E001"):
        format_text("rule r { mtach }")
