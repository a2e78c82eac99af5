"""Model objects by hand, for tests that do not go through the checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dsl.model import Call, Const, EventType, Expr, Field, FieldRef, Kind, Path, Type
from dsl.source import Span
from matcher.batch import Batch, BytesChunk, RawLines
from matcher.schema import Schema
from matcher.storage import nulls, to_storage
from matcher.strings import Strings

SPAN = Span("built", 0, 0)


def type_of(kind: str, **attributes: object) -> Type:
    """`"int"`, `"string?"`; attributes are those of `Type`."""
    made = Type(Kind(kind.rstrip("?")), optional=kind.endswith("?"))
    return replace(made, **attributes)  # type: ignore[arg-type]  # attributes of Type


def field(name: str, kind: str, source: str = "", **attributes: object) -> Field:
    """`source` is a dotted path in the JSON event; by default the name."""
    return Field(name, type_of(kind, **attributes), tuple((source or name).split(".")))


def event(name: str, *fields: Field, discriminator: str = "", time: str | None = "ts") -> EventType:
    """An event type with a time field `ts` unless `time` says otherwise or it is given."""
    if time is not None and all(each.name != time for each in fields):
        fields = (field(time, "timestamp"), *fields)
    return EventType(name, discriminator or name, fields, time, None, 0, None, SPAN)


def const(value: object, kind: str = "", **attributes: object) -> Const:
    """A literal; the kind of bool, int, float and str values is theirs."""
    return Const(type_of(kind or _kind_of(value), **attributes), value, SPAN)


def ref(name: str, kind: str, step: int | None = None, **attributes: object) -> FieldRef:
    """A field by its dotted path."""
    return FieldRef(type_of(kind, **attributes), step, tuple(name.split(".")), SPAN)


def call(op: str, kind: str, *args: Expr, **attributes: object) -> Call:
    return Call(type_of(kind, **attributes), op, args, SPAN)


def _kind_of(value: object) -> str:
    if isinstance(value, tuple):
        return "list"
    names = {bool: "bool", int: "int", float: "float", str: "string", type(None): "null"}
    return names[type(value)]


def batch_of(
    schema: Schema, strings: Strings, events: Sequence[tuple[str, int, Mapping[Path, object]]]
) -> Batch:
    """A batch of (event type, ts, record); positions count from 0, raw lines are empty."""
    columns = [nulls(spec.type.kind, len(events)) for spec in schema.columns]
    for row, (name, _, record) in enumerate(events):
        for path, value in record.items():
            if value is not None:
                columns[schema.column(name, path)][row] = to_storage(value, strings)
    here = np.zeros(len(events), np.int64)
    return Batch(
        np.array([ts for _, ts, _ in events], np.int64),
        np.arange(len(events)),
        np.array([schema.event_index[name] for name, *_ in events], np.int16),
        columns,
        RawLines.of(BytesChunk(b""), here, here),
    )
