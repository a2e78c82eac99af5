"""What a checkpoint has of each owner of state: a head, and pages in the order of their writing.

Pages are named `KIND/OWNER` (the head) and `KIND/OWNER/SERIAL`, where KIND says what owns them; an
owner that has pages of another sort calls them `KIND/OWNER/SORT/SERIAL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec


class PageMismatch(ValueError):
    """The page was written for another format or another version of the rule."""


@dataclass(slots=True)
class Saved:
    """b"" where there is no head; pages by serial number, and those of other sorts by name."""

    head: bytes = b""
    pages: dict[int, bytes] = field(default_factory=dict)
    more: dict[str, dict[int, bytes]] = field(default_factory=dict)


NOTHING = Saved()


def by_owner(pages: Mapping[str, bytes]) -> dict[str, Saved]:
    """What is saved, by `KIND/OWNER`."""
    owners: dict[str, Saved] = {}
    for name, data in pages.items():
        if not data:
            continue
        saved = owners.setdefault(owner_of(name), Saved())
        match name.split("/")[2:]:
            case []:
                saved.head = data
            case [serial]:
                saved.pages[int(serial)] = data
            case [sort, serial]:
                saved.more.setdefault(sort, {})[int(serial)] = data
    return owners


def owner_of(name: str) -> str:
    """The owner of a page, as `by_owner` names it."""
    return "/".join(name.split("/")[:2])


class Head:
    """A small page of its own that is written when it has changed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._written: object = None

    def take(self, *values: object) -> dict[str, bytes]:
        """The page with these values, if they are not those written last."""
        if values == self._written:
            return {}
        self._written = values
        return {self.name: msgspec.msgpack.encode(values)}

    def restore(self, data: bytes, count: int) -> tuple[Any, ...]:
        """The values, so many; raises PageMismatch when the page has another form."""
        try:
            values = msgspec.msgpack.decode(data, type=tuple)
        except msgspec.DecodeError as error:
            raise PageMismatch(f"{self.name}: {error}") from None
        if len(values) != count:
            raise PageMismatch(f"{self.name} has {len(values)} values in place of {count}")
        self._written = values
        return values
