"""Rows taken and put together keep their values and their raw lines."""

from __future__ import annotations

import numpy as np
import pytest
from model_builders import event, field

from matcher.batch import NULL, Batch
from matcher.decode import Decoder
from matcher.schema import Schema
from matcher.strings import Strings

SCHEMA = Schema([event("E", field("x", "int"), field("f", "float?"))])


def batch(first: int, count: int) -> Batch:
    lines = [f'{{"type":"E","ts":{i},"x":{i},"f":null}}' for i in range(first, first + count)]
    return Decoder(SCHEMA, Strings()).decode("\n".join(lines).encode(), first).batch


def test_take_reorders_values_and_raw_lines() -> None:
    taken = batch(10, 5).take(np.array([4, 0]))
    assert taken.position.tolist() == [14, 10]
    assert taken.columns[SCHEMA.column("E", ("x",))].tolist() == [14, 10]
    assert taken.raw.line(0) == b'{"type":"E","ts":14,"x":14,"f":null}'
    assert len(taken) == len(taken.raw) == 2


def test_concat_keeps_rows_of_all_parts_and_their_lines() -> None:
    whole = Batch.concat([batch(0, 2), batch(100, 2), batch(7, 1)])
    assert whole.position.tolist() == [0, 1, 100, 101, 7]
    assert whole.raw.line(4) == b'{"type":"E","ts":7,"x":7,"f":null}'
    assert whole.raw.line(2) == b'{"type":"E","ts":100,"x":100,"f":null}'


def test_chunks_no_row_needs_are_let_go() -> None:
    whole = Batch.concat([batch(0, 2), batch(100, 2), batch(200, 2)])
    assert len(whole.raw.chunks) == 3
    rest = whole.take(np.array([5, 1]))
    assert len(rest.raw.chunks) == 2
    assert rest.raw.line(0).startswith(b'{"type":"E","ts":201')
    assert len(Batch.concat([rest, rest]).raw.chunks) == 2


def test_interner_gives_equal_texts_one_code() -> None:
    strings = Strings()
    codes = strings.codes(["a", None, "b", "a"])
    assert codes.tolist() == [0, NULL, 1, 0]
    assert [strings.text(0), strings.text(1), len(strings)] == ["a", "b", 2]
    assert strings.code("b") == 1
    with pytest.raises(IndexError):
        strings.text(NULL)
