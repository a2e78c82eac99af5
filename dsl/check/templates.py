"""Message templates: `{expr}` and `{expr:format}` inside a string; `{{` and `}}` are braces.

The placeholders are parsed where they stand in the source, so their errors point into the string.
A format is `[[fill]<>^][+][,][width][.places][type]` with type d, f, e, % or s; that subset is
bounded, so no message can be made huge by its format.
"""

from __future__ import annotations

import re

from dsl import ast, limits
from dsl.check.expressions import Checker
from dsl.check.instances import filled
from dsl.check.typing import NUMBERS, name_of
from dsl.model import Expr, Kind, Placeholder, Template
from dsl.parser import parse_expression
from dsl.source import Span
from dsl.strings import string_body, unescape

_FORMAT = re.compile(r"(?:(.)?[<>^])?(\+)?(0)?([0-9]{0,3})(,)?(?:\.([0-9]{1,3}))?([df%es])?")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def check_template(checker: Checker, literal: ast.String) -> Template:
    """The template written as `literal`; holes that are wrong are reported and left out."""
    offset, body = string_body(literal.text)
    start = literal.span.start + offset
    if len(body) > limits.TEMPLATE_CHARS_MAX:
        message = f"a message longer than {limits.TEMPLATE_CHARS_MAX:,} characters"
        checker.error("E004", message, literal.span)
        return Template(())
    parts: list[str | Placeholder] = []
    text: list[str] = []
    position, holes = 0, 0
    while position < len(body):
        char, pair = body[position], body[position : position + 2]
        if char == "\\" or pair in {"{{", "}}"}:
            text.append(pair if char == "\\" else char)
            position += 2
        elif char == "}":
            at = _span(checker, literal, start + position, 1)
            checker.error("E007", "`}` without `{`", at, "write `}}` for a brace")
            position += 1
        elif char == "{":
            holes += 1
            if holes > limits.PLACEHOLDERS_MAX:
                message = f"more than {limits.PLACEHOLDERS_MAX} placeholders"
                checker.error("E004", message, literal.span)
                break
            end, colon = _hole(body, position)
            if end is None:
                at = _span(checker, literal, start + position, 1)
                checker.error("E007", "`{` without `}`", at, "write `{{` for a brace")
                break
            _flush(parts, text)
            hole = _placeholder(checker, literal, start, body, (position + 1, colon, end))
            if hole is not None:
                parts.append(hole)
            position = end + 1
        else:
            text.append(char)
            position += 1
    _flush(parts, text)
    return Template(tuple(parts))


def _flush(parts: list[str | Placeholder], text: list[str]) -> None:
    if text:
        parts.append(unescape(f'"{"".join(text)}"')[0])
        text.clear()


def _span(checker: Checker, literal: ast.String, start: int, width: int) -> Span:
    return Span(literal.span.path, start, start + width)


def _hole(body: str, opened: int) -> tuple[int | None, int | None]:
    """Where the placeholder opened at `opened` ends, and where its format begins."""
    expected: list[str] = []
    quote, colon = "", None
    position = opened + 1
    while position < len(body):
        char = body[position]
        if quote:
            position += char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif char in _PAIRS:
            expected.append(_PAIRS[char])
        elif expected and char == expected[-1]:
            expected.pop()
        elif char == "}" and not expected:
            return position, colon
        elif char == ":" and not expected and colon is None:
            colon = position
        position += 1
    return None, None


def _placeholder(
    checker: Checker,
    literal: ast.String,
    start: int,
    body: str,
    hole: tuple[int, int | None, int],
) -> Placeholder | None:
    begin, colon, end = hole
    stop = end if colon is None else colon
    if not body[begin:stop].strip():
        checker.error("E007", "an empty placeholder", _span(checker, literal, start + begin - 1, 2))
        return None
    source = checker.context.sources[literal.span.path]
    node, problems = parse_expression(source, start + begin, start + stop)
    for problem in problems:
        checker.context.keep(problem)
    if node is None or problems:
        return None
    instance = checker.context.instance
    if instance is not None:
        node = filled(checker.context, node, instance.values)
    expr = checker.check(node, lists=True)
    if expr is None:
        return None
    spec = "" if colon is None else body[colon + 1 : end]
    if spec:
        at = _span(checker, literal, start + stop + 1, max(1, len(spec)))
        _check_format(checker, spec, expr, at)
    return Placeholder(expr, spec, body[begin:stop].strip())


def _check_format(checker: Checker, spec: str, expr: Expr, span: Span) -> None:
    found = _FORMAT.fullmatch(spec)
    if found is None:
        hint = "e.g. `.2f`, `,` or `>10`"
        checker.error("E063", f"`{spec}` is not a format", span, hint)
        return
    width, places, kind = found[4], found[6], found[7]
    if int(width or 0) > limits.FORMAT_WIDTH_MAX or int(places or 0) > limits.DECIMAL_SCALE_MAX:
        most = f"{limits.FORMAT_WIDTH_MAX} characters and {limits.DECIMAL_SCALE_MAX} places"
        checker.error("E063", f"a format of more than {most}", span)
        return
    numeric = bool(found[2] or found[3] or found[5] or (kind and kind in "df%e"))
    fits = expr.type.kind in NUMBERS if numeric else kind != "s" or expr.type.kind not in NUMBERS
    if kind == "d" and expr.type.kind is not Kind.INT:
        fits = False
    if kind is None and places is not None:
        fits = expr.type.kind not in {Kind.INT, Kind.DECIMAL}
    if not fits:
        message = f"the format `{spec}` does not suit {name_of(expr.type)}"
        checker.error("E063", message, span, "numbers take `.2f`, whole numbers `d`, text `s`")
