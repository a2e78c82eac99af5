"""The workload as batches of columns, as the decoder would make them: input of the bare matcher."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench import workload as payments
from bench.workload import Workload
from dsl.model import Kind
from matcher.batch import NULL, Batch, BytesChunk, RawLines, storage_dtype
from matcher.schema import Schema
from matcher.strings import Strings

BATCH_ROWS = 65_536
TYPE_OF_EVENT = {"LoginFailed": 0, "LoginOk": 1, "Tx": 2, "PasswordChange": 3}


FIRST_ROW = 10_000_000


def numbered(rows: int) -> RawLines:
    """Stands for the bytes received: of row i, {"row":10000000 + i}, all of one length."""
    numbers = FIRST_ROW + np.arange(rows)
    line = np.frombuffer(b'{"row":%d}\n' % FIRST_ROW, np.uint8)
    lines = np.tile(line, (rows, 1))
    for place in range(8):
        lines[:, 7 + place] = ord("0") + numbers // 10 ** (7 - place) % 10
    start = np.arange(rows) * len(line)
    return RawLines.of(BytesChunk(lines.tobytes()), start, start + len(line) - 1)


def batches(workload: Workload, schema: Schema, strings: Strings) -> list[Batch]:
    """All rows whose type a rule reads, in event time order, cut as the engine cuts them."""
    index = np.full(len(payments.TYPES), -1, np.int16)
    for name, number in schema.event_index.items():
        index[TYPE_OF_EVENT[name]] = number
    event_type = index[workload.type]
    rows = np.flatnonzero(event_type >= 0)
    everything = Batch(
        workload.ts,
        np.arange(len(workload), dtype=np.int64),
        event_type,
        [_column(workload, schema, strings, i) for i in range(len(schema.columns))],
        numbered(len(workload)),
    )
    return [
        everything.take(rows[start : start + BATCH_ROWS])
        for start in range(0, len(rows), BATCH_ROWS)
    ]


def _column(
    workload: Workload, schema: Schema, strings: Strings, index: int
) -> NDArray[np.int64] | NDArray[np.float64]:
    """Column `index`: null in rows whose event type does not read it."""
    spec = schema.columns[index]
    (name,) = spec.path
    if name == "ts":
        return workload.ts
    if name == "amount":
        values = workload.amount.astype(np.int64)
    else:
        values = strings.codes(_names(workload, name))[getattr(workload, name)]
    assert storage_dtype(spec.type.kind) is np.int64 and spec.type.kind is not Kind.INT
    present = np.zeros(len(workload), np.bool_)
    for event in schema.events:
        if any(field.name == name for field in event.fields):
            present |= workload.type == TYPE_OF_EVENT[event.name]
    return np.where(present, values, NULL)


def _names(workload: Workload, field: str) -> list[str]:
    if field == "country":
        return payments.country_names()
    return {
        "user": payments.user_names,
        "card": payments.card_names,
        "ip": payments.ip_names,
    }[field](workload)
