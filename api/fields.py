"""What people write in bodies: names, texts, times, passwords and roles."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from alerts import limits
from api import limits as limits_of_api
from api.access.roles import RESERVED_NAMES, Role

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


def _each_once(roles: list[Role]) -> list[Role]:
    return sorted(set(roles))


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError("the name stands for others than people in histories")
    return name


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

Password = Annotated[
    str,
    Field(
        min_length=limits_of_api.PASSWORD_CHARACTERS_MIN,
        max_length=limits_of_api.PASSWORD_CHARACTERS_MAX,
    ),
]

Roles = Annotated[
    list[Role], Field(min_length=1, max_length=limits_of_api.ROLES_MAX), AfterValidator(_each_once)
]

PersonName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"), AfterValidator(_not_reserved)
]
"""Who signs in; there is no colon in it, as there is in the names of keys."""
