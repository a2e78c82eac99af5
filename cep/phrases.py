"""Templates and expressions of a rule's output, each compiled to a function of the detection.

    sentence(template)(found, fields) = the text; the value of each placeholder goes into `fields`
    scalar(expression)(found) = its value, as documented in `dsl.model`
    json_of(expression)(found) = its value as JSON-ready Python

`matcher.evaluate` is the meaning of expressions.  What is known without reading an event is not
asked there: most messages name only the key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

from cep import limits
from cep.detection_json import Fields
from cep.values import AS_IT_IS, json_value, text
from dsl.model import WINDOW, Aggregate, Const, Expr, KeyRef, Template, Type
from matcher.evaluate import Environment, evaluate
from matcher.matcher import Match

_SURELY_FITS = limits.MESSAGE_BYTES_MAX // 4


class Subject(Protocol):
    """What is spoken of; `environment` costs reading the bound events."""

    @property
    def match(self) -> Match: ...

    @property
    def environment(self) -> Environment: ...


Read: TypeAlias = Callable[[Subject], object]
Sentence: TypeAlias = Callable[[Subject, Fields], str]


def sentence(template: Template) -> Sentence:
    """The text of `template`, cut to `MESSAGE_BYTES_MAX`; see the module head."""
    pattern = "".join(
        part.replace("%", "%%") if isinstance(part, str) else "%s" for part in template.parts
    )
    blanks = [
        (part.text, scalar(part.expr), _shown(part.expr.type, part.spec))
        for part in template.parts
        if not isinstance(part, str)
    ]

    def say(found: Subject, fields: Fields) -> str:
        words = []
        for name, read, shown in blanks:
            fields[name], word = shown(read(found))
            words.append(word)
        filled = pattern % tuple(words)
        return filled if len(filled) <= _SURELY_FITS and filled.isascii() else _cut(filled)

    return say


def scalar(expression: Expr) -> Read:
    """The value of `expression`, or None for null."""
    match expression:
        case Const(value=constant):
            return lambda found: constant
        case KeyRef(index=index):
            return lambda found: found.match.key[index]
        case Aggregate(step=step) if step == WINDOW:
            return lambda found: found.match.values[expression]
    return lambda found: evaluate(expression, found.environment)


def json_of(expression: Expr) -> Read:
    """The value of `expression` as JSON-ready Python."""
    read, convert = scalar(expression), json_form(expression.type)
    return lambda found: convert(read(found))


def json_form(type: Type) -> Callable[[object], object]:
    """`json_value` of one type."""
    return _itself if type.kind in AS_IT_IS else partial(json_value, type)


def _itself(value: object) -> object:
    return value


def _shown(type: Type, spec: str) -> Callable[[object], tuple[object, str]]:
    """A value's JSON-ready form and its text."""
    convert = json_form(type)

    def plain(value: object) -> tuple[object, str]:
        return (value, value) if value.__class__ is str else (value, text(type, value))

    def any_other(value: object) -> tuple[object, str]:
        return convert(value), text(type, value, spec)

    return plain if type.kind in AS_IT_IS and not spec else any_other


def _cut(filled: str) -> str:
    """At most `MESSAGE_BYTES_MAX` bytes of UTF-8, with an ellipsis where something was cut."""
    encoded = filled.encode("utf-8", "replace")
    if len(encoded) <= limits.MESSAGE_BYTES_MAX:
        return encoded.decode()
    return encoded[: limits.MESSAGE_BYTES_MAX - 3].decode("utf-8", "ignore") + "…"
