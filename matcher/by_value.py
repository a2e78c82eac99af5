"""Operators on columns through their scalar meaning, once per distinct combination of arguments.

    of_columns(call)(columns)[row] = apply(call, scalars of the row)

Whatever has no arithmetic of its own on columns goes this way: functions of texts, lists and
addresses, and those written in Python.  They then cannot differ from `matcher.evaluate`.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dsl.model import Call, Const, Kind
from matcher import vector_ops as ops
from matcher.batch import NULL, storage_dtype
from matcher.codec import CODED, reader
from matcher.evaluate import apply
from matcher.lists import list_text
from matcher.strings import Strings
from matcher.text_tables import TextTable
from matcher.vector_ops import Truth

Ints = NDArray[np.int64]


class ByValue:
    """One call over columns; an operator that gives null where an argument is null."""

    def __init__(self, call: Call, kinds: list[Kind], strings: Strings) -> None:
        self._call = call
        self._read = [reader(kind, strings) for kind in kinds]
        self._null = np.nan if call.type.kind is Kind.FLOAT else NULL
        self._coded = [kind in CODED for kind in kinds]
        self._table: TextTable | None = None
        self._strings = strings

    def __call__(self, *vectors: Any) -> Any:
        columns = [
            ops.column_of_truth(v) if isinstance(v, Truth) else np.asarray(v) for v in vectors
        ]
        found = self._values(columns)
        if self._call.type.kind is not Kind.BOOL:
            return found
        return Truth(np.asarray(found == 1), lambda: np.asarray(found == NULL))

    def _values(self, columns: list[Any]) -> Any:
        varying = [place for place, column in enumerate(columns) if column.ndim]
        fixed = [column for column in columns if not column.ndim]
        shape = np.broadcast_shapes(*(column.shape for column in columns)) if columns else ()
        if any(ops.is_null(column) for column in fixed):
            return np.full(shape, self._null, storage_dtype(self._call.type.kind))
        scalars = [
            arg.value if isinstance(arg, Const) else None if column.ndim else read(column)
            for arg, read, column in zip(self._call.args, self._read, columns, strict=True)
        ]
        if not varying:
            return self._results([apply(self._call, scalars)])[0]
        if len(varying) == 1 and self._coded[varying[0]] and self._null is NULL:
            return self._by_code(columns[varying[0]], varying[0], scalars)
        return self._by_row([columns[place] for place in varying], varying, scalars)

    def _by_code(self, codes: Ints, place: int, scalars: list[object]) -> Ints:
        """Of one coded column: by a table that stays from batch to batch."""
        if self._table is None:

            def of_codes(distinct: Ints) -> Ints:
                return np.asarray(self._of_distinct([distinct], [place], scalars), np.int64)

            self._table = TextTable(self._strings, of_codes)
        known = codes >= 0
        if known.all():
            return self._table.of(codes)
        found = np.full(codes.shape, NULL, np.int64)
        found[known] = self._table.of(codes[known])
        return found

    def _by_row(self, columns: list[Any], places: list[int], scalars: list[object]) -> Any:
        found = np.full(columns[0].shape, self._null, storage_dtype(self._call.type.kind))
        known = np.flatnonzero(~np.logical_or.reduce([ops.is_null(column) for column in columns]))
        if not len(known):
            return found
        bits = np.stack([column[known].view(np.int64) for column in columns])
        distinct, inverse = np.unique(bits, axis=1, return_inverse=True)
        rows = [row.view(column.dtype) for row, column in zip(distinct, columns, strict=True)]
        found[known] = self._of_distinct(rows, places, scalars)[inverse.reshape(-1)]
        return found

    def _of_distinct(self, columns: list[Any], places: list[int], scalars: list[object]) -> Any:
        """The results for rows without null, one after the other; `scalars` has the rest."""
        read = [self._read[place] for place in places]
        results = []
        for row in zip(*(column.tolist() for column in columns), strict=True):
            for place, of_kind, stored in zip(places, read, row, strict=True):
                scalars[place] = of_kind(stored)
            results.append(apply(self._call, scalars))
        return self._results(results)

    def _results(self, values: list[object]) -> Any:
        """Scalars of the call's type, or None, as a column."""
        kind = self._call.type.kind
        if kind is Kind.LIST:
            values = [
                None if value is None else list_text(cast("tuple[object, ...]", value))
                for value in values
            ]
        if kind in CODED:
            return self._strings.codes(cast("list[str | None]", values))
        filled = [self._null if value is None else value for value in values]
        return np.array(filled, storage_dtype(kind))
