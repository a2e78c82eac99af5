"""Rows as they come, from a file, a database, a request or a frame, to typed columns.

Nothing is lost silently: a row that does not fit its declaration is left out with its place and the
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import Field, Kind, Table, Type
from matcher.batch import Column
from matcher.lookup.index import Ints
from matcher.lookup.quick_columns import quick_column
from matcher.record import BadEvent, NumberText, number_text, scalar_of
from matcher.storage import nulls, to_storage
from matcher.strings import Strings


class BadRow(NamedTuple):
    """`row` counts from 0 in what was read."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class TypedRows:
    """`columns` in the order of the fields asked for; `rows` says which row each of them was."""

    columns: list[Column]
    rows: Ints
    bad: list[BadRow]

    def without(self, bad: Mapping[int, str]) -> TypedRows:
        """Without the rows of `bad`, which says what is wrong with them, whatever else is."""
        if not bad:
            return self
        kept = [place for place, row in enumerate(self.rows.tolist()) if row not in bad]
        others = [each for each in self.bad if each.row not in bad]
        return TypedRows(
            [column[kept] for column in self.columns],
            self.rows[kept],
            sorted([*(BadRow(row, reason) for row, reason in bad.items()), *others]),
        )


def rows_of_json(table: Table, rows: Sequence[object], strings: Strings) -> TypedRows:
    """JSON objects, or bare values of a list."""
    if len(table.fields) == 1 and not any(isinstance(row, Mapping) for row in rows):
        return rows_of_columns(table, table.fields, [list(rows)], _from_json, strings)
    objects = [row if isinstance(row, Mapping) else None for row in rows]
    columns = [_values_at(objects, field.source) for field in table.fields]
    wrong = {place: "expected an object" for place, row in enumerate(objects) if row is None}
    return rows_of_columns(table, table.fields, columns, _from_json, strings).without(wrong)


def keys_of_json(table: Table, keys: Sequence[object], strings: Strings) -> TypedRows:
    """Keys to delete: bare values, arrays of the parts of each, or objects that hold them."""
    fields = [table.field(name) for name in table.key]

    def parts(key: object) -> list[object]:
        if isinstance(key, Mapping):
            return [_at(key, field.source) for field in fields]
        if isinstance(key, list | tuple) and len(key) == len(fields):
            return list(key)
        return [key, *[None] * (len(fields) - 1)]

    columns = [list(column) for column in zip(*map(parts, keys), strict=True)]
    return rows_of_columns(table, fields, columns or [[] for _ in fields], _from_json, strings)


def rows_of_texts(
    table: Table, columns: Sequence[Sequence[str | None]], strings: Strings
) -> TypedRows:
    """A column of texts for each field, as in a CSV file.

    An empty text is null, but for a string that is not optional and no part of the key.
    """
    columns = [
        [text or None for text in texts] if field.name in table.key and "" in texts else texts
        for field, texts in zip(table.fields, columns, strict=True)
    ]
    return rows_of_columns(table, table.fields, columns, _from_text, strings)


def key_of_texts(table: Table, parts: Sequence[str]) -> list[object]:
    """One key to look up, in scalar form, from the texts of its parts.

    A table of networks is asked for an address.  Raises BadEvent for what can be no key of it.
    """
    if len(parts) != len(table.key):
        raise BadEvent(f"a key has {len(table.key)} parts: {', '.join(table.key)}")
    types = [table.field(name).type for name in table.key]
    asked = [replace(each, kind=Kind.IP) if each.kind is Kind.CIDR else each for each in types]
    return [_from_text(part, type_) for part, type_ in zip(parts, asked, strict=True)]


Convert = Callable[[object, Type], object]
"""A value as it came to a scalar; None for null; raises BadEvent."""


def rows_of_columns(
    table: Table,
    fields: Sequence[Field],
    columns: Sequence[Sequence[object]],
    convert: Convert,
    strings: Strings,
) -> TypedRows:
    """Columns of values as they came, one for each of `fields`, of which the keys are all there."""
    count = len(columns[0])
    reasons: dict[int, str] = {}
    typed: list[Column] = []
    for field, values in zip(fields, columns, strict=True):
        column, wrong = _typed_column(field, values, convert, strings)
        typed.append(column)
        for row, reason in wrong.items():
            reasons.setdefault(row, f"{field.name}: {reason}")
    good = np.ones(count, np.bool_)
    good[list(reasons)] = False
    rows = np.flatnonzero(good)
    if len(rows) < count:
        typed = [column[rows] for column in typed]
    return TypedRows(typed, rows, [BadRow(row, reasons[row]) for row in sorted(reasons)])


def _typed_column(
    field: Field, values: Sequence[object], convert: Convert, strings: Strings
) -> tuple[Column, dict[int, str]]:
    """The column, and why some of its rows have no value; each distinct value is read once."""
    classes = set(map(type, values))
    quick = quick_column(values, classes, field.type, convert is _from_text, strings)
    if quick is not None:
        return quick, {}
    # What is equal may be of two types: 1, 1.0 and true are.
    keys: Sequence[object] = values
    if len(classes) > 1 or not classes <= set(_SCALARS):
        keys = [(v.__class__, v if v.__class__ in _SCALARS else repr(v)) for v in values]
    value_of = dict(zip(keys, values, strict=True))
    scalars: list[object] = []
    wrong: dict[object, str] = {}
    for key, value in value_of.items():
        scalar = None
        try:
            scalar = convert(value, field.type) if type(value) in _SCALARS else _refuse(value)
            if scalar is None and not field.type.optional:
                wrong[key] = "missing, and not optional"
        except BadEvent as error:
            wrong[key] = str(error)
        scalars.append(scalar)
    place_of = dict(zip(value_of, range(len(value_of)), strict=True))
    places = np.fromiter(map(place_of.__getitem__, keys), np.int64, len(keys))
    stored = _stored(scalars, field.type, strings)
    column: Column = stored[places] if len(stored) else stored
    reasons = {row: wrong[key] for row, key in enumerate(keys) if key in wrong} if wrong else {}
    return column, reasons


_SCALARS = (str, int, float, bool, type(None), NumberText)


def _refuse(value: object) -> object:
    raise BadEvent(f"expected one value, got {type(value).__name__}")


def _stored(scalars: Sequence[object], type_: Type, strings: Strings) -> Column:
    texts = [scalar for scalar in scalars if isinstance(scalar, str)]
    if texts:
        with_nulls: Sequence[Any] = scalars
        return strings.codes(with_nulls)
    column = nulls(type_.kind, len(scalars))
    for place, scalar in enumerate(scalars):
        if scalar is not None:
            column[place] = to_storage(scalar, strings)
    return column


def repeated_keys(table: Table, columns: Sequence[Column]) -> tuple[Ints, Ints] | None:
    """(rows whose key has come before, the row where it first came); None: each came once."""
    fields = [field.name for field in table.fields]
    keys = [columns[fields.index(name)] for name in table.key]
    if len(keys[0]) < 2:
        return None
    order = np.lexsort([np.arange(len(keys[0])), *reversed(keys)])
    same: NDArray[np.bool_] = np.ones(len(order) - 1, np.bool_)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    if not same.any():
        return None
    start = np.flatnonzero(np.append(True, ~same))
    first = order[np.repeat(start, np.diff(np.append(start, len(order))))]
    later = np.flatnonzero(np.append(False, same))
    return order[later], first[later]


def _from_json(value: object, type_: Type) -> object:
    return None if value is None else scalar_of(value, type_)


_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_WRITTEN_AS_NUMBERS = {Kind.INT, Kind.FLOAT, Kind.DURATION}


def _from_text(value: object, type_: Type) -> object:
    """A text as JSON would have the value; text around it is cut off where it means nothing."""
    if value is None:
        return None
    text = str(value)
    if type_.kind is Kind.STRING:
        return None if type_.optional and not text else scalar_of(text, type_)
    text = text.strip()
    if not text:
        return None
    if type_.kind is Kind.BOOL:
        truth = _TRUTHS.get(text.lower())
        if truth is None:
            raise BadEvent(f"{text[:40]!r} is not true or false")
        return truth
    if type_.kind in _WRITTEN_AS_NUMBERS:
        return scalar_of(number_text(text), type_)
    if type_.kind is Kind.TIMESTAMP and text.lstrip("-").isdecimal():
        return scalar_of(number_text(text), type_)
    return scalar_of(text, type_)


def _values_at(
    rows: Sequence[Mapping[str, object] | None], source: tuple[str, ...]
) -> list[object]:
    if len(source) == 1:
        name = source[0]
        return [None if row is None else row.get(name) for row in rows]
    return [None if row is None else _at(row, source) for row in rows]


def _at(row: Mapping[str, object], source: tuple[str, ...]) -> object:
    here: object = row
    for name in source:
        here = here.get(name) if isinstance(here, Mapping) else None
    return here
