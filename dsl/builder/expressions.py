"""Expressions to nodes."""

from __future__ import annotations

from typing import Any

from dsl import ast
from dsl.builder.literals import Children, Literals, as_node, only


class Expressions(Literals):
    """One method per rule of the grammar's section on expressions."""

    def conditional(self, c: Children) -> ast.Node:
        return ast.Conditional(self._span(c), c[1], c[3], c[5])

    def or_expr(self, c: Children) -> ast.Node:
        return ast.Logic(self._span(c), "or", tuple(c[::2]))

    def and_expr(self, c: Children) -> ast.Node:
        return ast.Logic(self._span(c), "and", tuple(c[::2]))

    def not_(self, c: Children) -> ast.Node:
        return ast.Unary(self._span(c), "not", c[1])

    def negative(self, c: Children) -> ast.Node:
        return ast.Unary(self._span(c), "-", c[1])

    def exists(self, c: Children) -> ast.Node:
        return ast.Unary(self._span(c), "exists", c[1])

    def binary(self, c: Children) -> ast.Node:
        return ast.Binary(self._span(c), str(c[1]), c[0], c[2])

    def not_in(self, c: Children) -> ast.Node:
        return ast.NotIn(self._span(c), c[0], c[3])

    def is_not(self, c: Children) -> ast.Node:
        return ast.IsNot(self._span(c), c[0], c[3])

    def between(self, c: Children) -> ast.Node:
        return ast.Between(self._span(c), c[0], c[2], c[4])

    def matches_regex(self, c: Children) -> ast.Node:
        pattern, _, flags = str(c[2])[1:].rpartition("/")
        return ast.MatchesRegex(self._span(c), c[0], pattern.replace("\\/", "/"), flags)

    def sum(self, c: Children) -> ast.Node:
        """`a - b - c` is `(a - b) - c`."""
        left = c[0]
        for sign, right in zip(c[1::2], c[2::2], strict=True):
            left = ast.Binary(self._span([left, right]), str(sign), left, right)
        return as_node(left)

    product = sum
    coalesce = sum

    def attribute_of(self, c: Children) -> ast.Node:
        return ast.AttributeOf(self._span(c), c[0], c[2], str(c[1]) == "?.")

    def index(self, c: Children) -> ast.Node:
        return ast.Index(self._span(c), c[0], c[2], tuple(c[4:-1:2]))

    def invoke(self, c: Children) -> ast.Node:
        return ast.Invoke(self._span(c), c[0], c[2] or ())

    def variable(self, c: Children) -> ast.Node:
        name = self._name(c[0])
        return ast.Variable(name.span, name.text)

    def string(self, c: Children) -> ast.Node:
        return self._string(c[0])

    def number(self, c: Children) -> ast.Node:
        return self._number(c[0])

    def duration(self, c: Children) -> ast.Node:
        return self._duration(c[0])

    def true(self, c: Children) -> ast.Node:
        return ast.Boolean(self._span(c), True)

    def false(self, c: Children) -> ast.Node:
        return ast.Boolean(self._span(c), False)

    def null(self, c: Children) -> ast.Node:
        return ast.Null(self._span(c))

    def parenthesis(self, c: Children) -> ast.Node:
        return as_node(c[1])

    def array(self, c: Children) -> ast.Node:
        return ast.Array(self._span(c), tuple(x for x in c if isinstance(x, ast.Expression)))

    def arguments(self, c: Children) -> tuple[Any, ...]:
        return tuple(c[::2])

    def argument(self, c: Children) -> ast.Node:
        name = self._name(c[0]) if len(c) == 3 else None
        return ast.Argument(self._span(c), name, c[-1])

    def object(self, c: Children) -> ast.Node:
        return ast.Object(self._span(c), only(ast.Entry, c))

    def entry(self, c: Children) -> ast.Node:
        return ast.Entry(self._span(c), c[0], c[2])
