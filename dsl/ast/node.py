"""What every node of the tree has: a place, and equality that does not look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TypeVar, dataclass_transform

from dsl.source import Span

_C = TypeVar("_C")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(cls: type[_C]) -> type[_C]:
    """A slotted dataclass that takes equality and printing from `Node`.

    Frozen to the type checker only: the five methods that a frozen dataclass writes and compiles
    for itself, times eighty classes, would cost every start of the command line 40 ms.
    """
    cls.__doc__ = cls.__doc__ or cls.__name__
    make: Callable[[type[_C]], type[_C]] = dataclass(
        slots=True, eq=False, repr=False, match_args=False
    )
    return make(cls)


@node
class Node:
    span: Span = field(compare=False, repr=False)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _compared(type(self)))

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in _compared(type(self)))))

    def __repr__(self) -> str:
        parts = (f"{name}={getattr(self, name)!r}" for name in _compared(type(self)))
        return f"{type(self).__name__}({', '.join(parts)})"


_COMPARED: dict[type[Node], tuple[str, ...]] = {}


def _compared(kind: type[Node]) -> tuple[str, ...]:
    """The fields that make a node what it is: neither its place nor how a literal is spelt."""
    if kind not in _COMPARED:
        _COMPARED[kind] = tuple(f.name for f in fields(kind) if f.compare)
    return _COMPARED[kind]


@node
class Name(Node):
    """A name where it is declared or used; back-ticks are not part of `text`."""

    text: str
