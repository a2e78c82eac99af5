"""Names, literals and places: what every other part of the builder needs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from dsl import ast, limits
from dsl.diagnostics import Diagnostic
from dsl.lalr import Token
from dsl.source import Span
from dsl.strings import duration_ms, unescape

Children: TypeAlias = list[Any]  # tokens, nodes, tuples of nodes; None for what is not there
_N = TypeVar("_N")


class Literals:
    """Knows the text at hand: `begin`, parse, then read `problems`."""

    def __init__(self) -> None:
        self.source_path = ""
        self.problems: list[Diagnostic] = []

    def begin(self, path: str) -> None:
        self.source_path = path
        self.problems = []

    # ---- places, names and literals

    def _span(self, children: Children) -> Span:
        """From the first child that is there to the last one."""
        first: Any = next(filter(None, children))
        last: Any = next(filter(None, reversed(children)))
        while type(first) is tuple:
            first = first[0]
        while type(last) is tuple:
            last = last[-1]
        start = first.start_pos if type(first) is Token else first.span.start
        end = last.start_pos + len(last) if type(last) is Token else last.span.end
        return Span(self.source_path, start, end)

    def _token_span(self, token: Token) -> Span:
        return Span(self.source_path, token.start_pos, token.start_pos + len(token))

    def _problem(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, span, hint))

    def _name(self, token: Token) -> ast.Name:
        text = str(token)
        span = self._token_span(token)
        return ast.Name(span, text[1:-1] if text[0] == "`" else text)

    def _optional_name(self, token: Token | None) -> ast.Name | None:
        return None if token is None else self._name(token)

    def _string(self, token: Token) -> ast.String:
        span = self._token_span(token)
        if token.type == "NAME":
            return ast.String(span, "", str(token), self._name(token))
        value, bad_escape = unescape(str(token))
        if bad_escape is not None:
            at = Span(self.source_path, span.start + bad_escape, span.start + bad_escape + 2)
            self._problem("E007", "unknown escape in a string", at, "write `\\\\` for a backslash")
        return ast.String(span, value, str(token))

    def _optional_string(self, token: Token | None) -> ast.String | None:
        return None if token is None else self._string(token)

    def _duration(self, token: Token) -> ast.Duration:
        span = self._token_span(token)
        if token.type == "NAME":
            return ast.Duration(span, 0, str(token), self._name(token))
        ms = duration_ms(str(token))
        if ms > limits.DURATION_MS_MAX:
            self._problem("E006", "a duration of more than a hundred years", span)
            ms = limits.DURATION_MS_MAX
        return ast.Duration(span, ms, str(token))

    def _optional_duration(self, token: Token | None) -> ast.Duration | None:
        return None if token is None else self._duration(token)

    def _integer(self, token: Token, most: int = limits.INTEGER_MAX) -> int:
        if len(token) > 19 or int(token) > most:
            self._problem("E006", f"a number larger than {most:,}", self._token_span(token))
            return most
        return int(token)

    def _integer_or_name(self, token: Token) -> tuple[int, ast.Name | None]:
        """A number, or the parameter that gives it."""
        return (1, self._name(token)) if token.type == "NAME" else (self._integer(token), None)

    def _number(self, token: Token) -> ast.Number:
        span = self._token_span(token)
        if token.type == "INT":
            return ast.Number(span, self._integer(token), str(token))
        value = Decimal(str(token)) if len(token) <= 40 else None
        if value is None or not -300 < value.adjusted() < 300:
            self._problem("E006", "a number with too many digits or too large an exponent", span)
            value = Decimal("0.0")
        return ast.Number(span, value, str(token))

    def _strings(self, c: Children) -> tuple[ast.String, ...]:
        found = (x for x in c if type(x) is Token and x.type in {"STRING", "NAME"})
        return tuple(self._string(x) for x in found)


def only(kind: type[_N], children: Children) -> tuple[_N, ...]:
    """The children of one kind."""
    return tuple(child for child in children if isinstance(child, kind))


def as_node(child: ast.Node) -> ast.Node:
    """A child that stands for the whole, with its type back."""
    return child
