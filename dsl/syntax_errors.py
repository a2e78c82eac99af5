"""What to say about text the grammar refuses: what stands there, and what could stand there."""

from __future__ import annotations

from collections.abc import Mapping

from dsl.diagnostics import Diagnostic, did_you_mean, one_of
from dsl.lalr import Refused
from dsl.source import Source, Span
from dsl.split import KEYWORDS

_PHRASES = {
    "NAME": "a name",
    "QUOTED_NAME": "a name",
    "STRING": "a string",
    "INT": "a whole number",
    "FLOAT": "a number",
    "DURATION": "a duration such as `5m`",
    "REGEX": "a regular expression such as `/x+/i`",
    "QUANTIFIER": "a quantifier such as `{3,}`",
    "PREFERENCE": "`?`",
    "COMPARE": "a comparison",
    "SUM_SIGN": "`+`",
    "PRODUCT_SIGN": "`*`",
    "$END": "the end of the declaration",
}
_OTHER_LANGUAGES = {
    "=": "to compare, write `==`",
    "&&": "write `and`",
    "||": "write `or`",
    "&": "in a condition, write `and`",
    "|": "in a condition, write `or`",
    "!": "write `not`",
    ";": "clauses need no `;`",
    "by": "`by` stands in front of `over` and `match`",
}
_EXPRESSION = {"NAME", "FLOAT", "INT", "STRING", "LPAR", "LSQB"}
_LISTED_MAX = 8


def describe(
    refused: Refused, literals: Mapping[str, str], source: Source, start: int, end: int, what: str
) -> Diagnostic:
    """A diagnostic for what the parser refused in the `what` at `source.text[start:end]`.

    `literals` maps terminals that are always written the same way to that way.
    """
    at, text, allowed = refused.at, refused.text, refused.allowed
    shown = text if len(text) <= 30 else text[:27] + "…"
    message = f"unexpected `{shown}`" if text else f"unexpected end of the {what}"
    span = Span(source.path, at, at + max(1, len(text)))
    if not text:
        span = Span(source.path, max(start, end - 1), end)
    return Diagnostic("E001", message, span, _hint(text, allowed, literals, source, at))


def _hint(
    text: str, allowed: set[str], literals: Mapping[str, str], source: Source, at: int
) -> str | None:
    words = {name: literals[name] for name in allowed if name in literals}
    if text.isidentifier() and text not in _OTHER_LANGUAGES:
        known = [word for word in words.values() if word.isidentifier()]
        line_start = source.text.rfind("\n", 0, at) + 1
        close = did_you_mean(text, [*known, *(KEYWORDS if at == line_start else ())])
        if close is not None:
            return close
    for sign in (source.text[at : at + 2], text):
        if sign in _OTHER_LANGUAGES and sign.startswith(text[:1]):
            return _OTHER_LANGUAGES[sign]
    if allowed >= _EXPRESSION:
        return "expected an expression"
    phrases = [f"`{words[name]}`" if name in words else _PHRASES.get(name, "") for name in allowed]
    listed = sorted({phrase for phrase in phrases if phrase})
    return f"expected {one_of(listed)}" if 0 < len(listed) <= _LISTED_MAX else None
