"""Patterns to nodes."""

from __future__ import annotations

from typing import Any, TypeAlias

from dsl import ast, limits
from dsl.builder.expressions import Expressions
from dsl.builder.literals import Children, as_node
from dsl.lalr import Token
from dsl.source import Span

_Count: TypeAlias = tuple[int | None, ast.Name | None]  # a number, or the parameter that gives it


class Patterns(Expressions):
    """One method per rule of the grammar's section on patterns."""

    def pattern(self, c: Children) -> ast.Node:
        pairs = zip(c[1::2], c[2::2], strict=True)
        rest = tuple(ast.Follow(self._span([arrow, p]), arrow, p) for arrow, p in pairs)
        return ast.Sequence(self._span(c), c[0], rest)

    def plain_arrow(self, c: Children) -> ast.Node:
        return ast.Arrow(self._span(c), _sign(str(c[0])), None)

    def gap_arrow(self, c: Children) -> ast.Node:
        return ast.Arrow(self._span(c), _sign(str(c[2])[1:]), c[1])

    def gap_both(self, c: Children) -> ast.Node:
        return ast.Gap(self._span(c), self._duration(c[0]), self._duration(c[2]))

    def gap_most(self, c: Children) -> ast.Node:
        return ast.Gap(self._span(c), None, self._duration(c[1]))

    def gap_least(self, c: Children) -> ast.Node:
        return ast.Gap(self._span(c), self._duration(c[0]), None)

    def alternation(self, c: Children) -> ast.Node:
        return ast.Alternation(self._span(c), tuple(c[::2]))

    def conjunction(self, c: Children) -> ast.Node:
        return ast.Conjunction(self._span(c), tuple(c[::2]))

    def absent(self, c: Children) -> ast.Node:
        return ast.Absent(self._span(c), c[1], self._optional_duration(c[3]))

    def repetition(self, c: Children) -> ast.Node:
        counts, preference, *modifiers = c[1]
        span = self._span([c[0], counts, preference, *modifiers])
        word = {None: "greedy", "?": "reluctant", "+": "possessive"}[preference and str(preference)]
        (least, least_from), (most, most_from) = self._counts(counts)
        return ast.Repetition(
            span,
            c[0],
            least or 0,
            most,
            _preference(word),
            tuple(modifiers),
            least_from,
            most_from,
        )

    def quantifier(self, c: Children) -> tuple[Any, ...]:
        return tuple(c)

    def _counts(self, token: Token) -> tuple[_Count, _Count]:
        """The least and the greatest count of a quantifier."""
        text = str(token)
        if text in {"?", "*", "+"}:
            return (1 if text == "+" else 0, None), (1 if text == "?" else None, None)
        parts = text[1:-1].split(",")
        counts = [self._count(token, part) for part in parts]
        return counts[0], counts[-1]

    def _count(self, token: Token, part: str) -> _Count:
        text = part.strip()
        span = self._token_span(token)
        if text.isdecimal():
            if len(text) < 10 and int(text) <= limits.REPEAT_MAX:
                return int(text), None
            self._problem("E006", f"a count larger than {limits.REPEAT_MAX:,}", span)
            return 1, None
        if not text:
            return None, None
        start = span.start + str(token).index(text)
        at = Span(self.source_path, start, start + len(text))
        if text[0].isdecimal():
            self._problem("E001", f"`{text}` is no count", at, "expected a whole number")
        return 1, ast.Name(at, text)

    def consecutive(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "consecutive", None)

    def combinations(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "combinations", None)

    def until(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "until", c[1])

    def gap_within(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "gap", c[1])

    def group(self, c: Children) -> ast.Node:
        return as_node(c[1])

    def some_of(self, c: Children) -> ast.Node:
        count, name = self._integer_or_name(c[0])
        return ast.SomeOf(self._span(c), count, tuple(c[3::2]), name)

    def step(self, c: Children) -> ast.Node:
        return ast.Step(self._span(c), self._optional_name(c[0]), c[2])

    def core(self, c: Children) -> ast.Node:
        return ast.Core(self._span(c), self._name(c[0]), c[2], c[5])

    def key_of_one(self, c: Children) -> tuple[Any, ...]:
        return (c[0],)

    def key_of_many(self, c: Children) -> tuple[Any, ...]:
        return tuple(c[1::2])

    def path(self, c: Children) -> ast.Node:
        return ast.Path(self._span(c), tuple(str(token) for token in c[::2]))

    def names(self, c: Children) -> tuple[ast.Name, ...]:
        return tuple(self._name(token) for token in c[::2])

    def name(self, c: Children) -> ast.Node:
        return self._name(c[0])


def _sign(text: str) -> Any:
    return text


def _preference(word: str) -> Any:
    return word
