"""The msgspec structs that decode events of a schema: one attribute per JSON field that is read.

The structs of all event types are one, since a line's type is known only once it is decoded.  Where
two event types want the same field as different JSON types it is decoded as it comes (loose).
There are two variants: the narrow one takes decimals only as numbers and timestamps only as texts,
which is faster; the wide one takes decimals as texts and timestamps as numbers too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind
from matcher.schema import Schema, leaves

Source: TypeAlias = tuple[str, ...]
Extract: TypeAlias = Callable[[list[Any]], list[Any]]

_NARROW: dict[Kind, Any] = {
    Kind.BOOL: bool,
    Kind.INT: int,
    Kind.DURATION: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: float,
    Kind.STRING: str,
    Kind.ENUM: str,
    Kind.IP: str,
    Kind.TIMESTAMP: str,
}
_WIDE: dict[Kind, Any] = {**_NARROW, Kind.DECIMAL: float | str, Kind.TIMESTAMP: str | int}


@dataclass(slots=True)
class _Node:
    """A JSON field: of these kinds if it is a leaf, an object with these fields if it is not."""

    attribute: str
    kinds: set[Kind] = field(default_factory=set)
    inner: dict[str, _Node] = field(default_factory=dict)

    @property
    def loose(self) -> bool:
        """Whether event types disagree about the JSON type, or it is not a simple one."""
        wanted = {_WIDE.get(kind, Any) for kind in self.kinds}
        return Any in wanted or len(wanted) + bool(self.inner) != 1

    def json_type(self, types: dict[Kind, Any]) -> Any:
        if self.loose:
            return Any
        return _struct(self, types) if self.inner else types[next(iter(self.kinds))]


class Structs:
    """Decoders for the events of `schema`, and how to get at each field of what they give."""

    def __init__(self, schema: Schema) -> None:
        self._root = _Node("")
        self._at(("type",)).kinds.add(Kind.STRING)
        for event in schema.events:
            for leaf in leaves(event):
                self._at(leaf.source).kinds.add(leaf.type.kind)
                for parent in leaf.optional_parents:
                    self._at(parent)
        self.narrow = msgspec.json.Decoder(_struct(self._root, _NARROW))
        self.wide = msgspec.json.Decoder(_struct(self._root, _WIDE))
        self.types = _getter(self._at(("type",)).attribute)
        self._getters: dict[Source, list[Extract]] = {}

    def loose(self, source: Source) -> bool:
        """Whether the values at `source` come as they are in the JSON, without a check of type."""
        return any(self._at(source[:depth]).loose for depth in range(1, len(source) + 1))

    def getters(self, source: Source) -> list[Extract]:
        """For each name of `source`: a function from objects to the values under that name."""
        if source not in self._getters:
            self._getters[source] = [
                self._getter_at(source[: depth + 1]) for depth in range(len(source))
            ]
        return self._getters[source]

    def _getter_at(self, source: Source) -> Extract:
        if self.loose(source[:-1]):
            return _loose_getter(source[-1])
        return _getter(self._at(source).attribute, inner=len(source) > 1)

    def _at(self, source: Source) -> _Node:
        node = self._root
        for name in source:
            node = node.inner.setdefault(name, _Node(f"f{len(node.inner)}"))
        return node


def _struct(node: _Node, types: dict[Kind, Any]) -> type[msgspec.Struct]:
    """A struct with an optional attribute for each field in `node`; `type` of the root is a must.

    The structs hold no reference to each other or to containers that may change, so they need not
    be known to the garbage collector.
    """
    fields: list[tuple[str, Any] | tuple[str, Any, None]] = []
    for name, inner in node.inner.items():
        if not node.attribute and name == "type":
            fields.insert(0, (inner.attribute, str))
        else:
            fields.append((inner.attribute, inner.json_type(types) | None, None))
    names = {inner.attribute: name for name, inner in node.inner.items()}
    return msgspec.defstruct("Event", fields, rename=names, gc=False)


def _getter(attribute: str, inner: bool = False) -> Extract:
    """A comprehension over one attribute; compiled, as `attrgetter` takes twice the time."""
    value = f"None if object is None else object.{attribute}" if inner else f"object.{attribute}"
    getter: Extract = eval(f"lambda objects: [{value} for object in objects]")
    return getter


_ASTRAY = object()
"""Stands for a field of what is not an object; no kind of field takes it."""


def _loose_getter(name: str) -> Extract:
    """The values under `name` of objects that were decoded as dicts."""

    def value(around: object) -> object:
        if isinstance(around, dict):
            return around.get(name)
        return None if around is None else _ASTRAY

    return lambda objects: [value(each) for each in objects]


@dataclass(slots=True)
class Chunk:
    """Decoded objects (by the wide structs or the narrow ones) and the line of each."""

    structs: Structs
    objects: list[Any]
    line: NDArray[np.int64]
    wide: bool
    _known: dict[Source, list[Any]] = field(default_factory=dict)

    def values(self, source: Source) -> list[Any]:
        """The value at `source` of each object, extracted once."""
        here = self.objects
        for depth, getter in enumerate(self.structs.getters(source), 1):
            values = self._known.get(source[:depth])
            if values is None:
                values = self._known[source[:depth]] = getter(here)
            here = values
        return here

    def present(self, source: Source) -> NDArray[np.bool_]:
        """Where there is an object at `source`."""
        values = self.values(source)
        return np.fromiter((value is not None for value in values), np.bool_, len(values))
