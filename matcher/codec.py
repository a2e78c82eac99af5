"""Between the storage form of one value and its scalar, by kind; null is the caller's business."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from dsl.model import Kind
from matcher.lists import list_of, list_text
from matcher.strings import Strings

Read: TypeAlias = Callable[[Any], object]
Write: TypeAlias = Callable[[Any], int | float]

CODED = frozenset({Kind.STRING, Kind.ENUM, Kind.IP, Kind.CIDR, Kind.LIST})
"""Kinds kept as codes of `Strings`."""


def reader(kind: Kind, strings: Strings) -> Read:
    """Storage form → scalar."""
    match kind:
        case Kind.BOOL:
            return bool
        case Kind.FLOAT:
            return float
        case Kind.LIST:
            return lambda code: list_of(strings.text(int(code)))
        case kind if kind in CODED:
            return lambda code: strings.text(int(code))
    return int


def writer(kind: Kind, strings: Strings) -> Write:
    """Scalar → storage form."""
    match kind:
        case Kind.FLOAT:
            return float
        case Kind.LIST:
            return lambda items: strings.code(list_text(items))
        case kind if kind in CODED:
            return strings.code
    return int
