"""What people write in bodies: names, texts and times."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from alerts import limits

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DATE_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")


def _name(text: str) -> str:
    if _CONTROL.search(text) or not text.strip():
        raise ValueError("a name has no control characters, and is not of spaces alone")
    return text


def _text(text: str) -> str:
    if _CONTROL_BUT_LINES.search(text):
        raise ValueError("a text has no control characters but line ends and tabs")
    return text


def _written(value: object) -> object:
    if not isinstance(value, str) or not _DATE_AND_TIME.match(value):
        raise ValueError("not a time such as 2026-03-01T09:00:00Z")
    return value


Name = Annotated[
    str, Field(min_length=1, max_length=limits.NAME_CHARACTERS_MAX), AfterValidator(_name)
]
"""Of a person."""

Text = Annotated[str, Field(max_length=limits.COMMENT_CHARACTERS_MAX), AfterValidator(_text)]

Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""With an offset; numbers are no times, as nobody can tell their unit."""
