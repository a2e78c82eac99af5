"""Any text at all, near rules or far from them: diagnostics or rules, never an exception."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dsl import RuleError, Source, load_sources
from dsl.diagnostics import CODES
from dsl.format import format_text
from dsl.parser import parse_file

ROOT = Path(__file__).parents[2]
TEXTS = [
    path.read_text(encoding="utf-8")
    for folder in ("rules", "tests/dsl")
    for path in sorted((ROOT / folder).rglob("*.cep"))
]
WORD = re.compile(r'"[^"\n]*"|\w+|[^\w\s]+')
WORDS = sorted({word for text in TEXTS for word in WORD.findall(text)})
DECLARATIONS = [
    part for text in TEXTS for part in re.split(r"\n(?=(?:event|rule|filter|test)\b)", text)
]


@st.composite
def damaged_rules(draw: st.DrawFn) -> str:
    """A few declarations of real files with some of their words replaced."""
    parts = draw(st.lists(st.sampled_from(DECLARATIONS), min_size=1, max_size=4))
    words = WORD.split("\n".join(parts))
    found = WORD.findall("\n".join(parts))
    for place in draw(st.lists(st.integers(0, len(found) - 1), max_size=6)):
        found[place] = draw(st.sampled_from(WORDS) | st.just(""))
    return "".join(x for pair in zip(words, [*found, ""], strict=True) for x in pair)


def check(text: str) -> None:
    loaded = load_sources([Source("any.cep", text)])
    loaded.render().encode("utf-8")
    assert {d.code for d in loaded.diagnostics} <= set(CODES)
    for diagnostic in loaded.diagnostics:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text) + 1
    try:
        result = format_text(text)
    except RuleError:
        return
    before, _ = parse_file(Source("any.cep", text))
    after, _ = parse_file(Source("any.cep", result))
    assert after.declarations == before.declarations
    assert format_text(result) == result


@settings(max_examples=150, deadline=None)
@given(damaged_rules())
def test_damaged_rules(text: str) -> None:
    check(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_arbitrary_text(text: str) -> None:
    check(text)
