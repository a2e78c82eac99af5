"""NDJSON → columns, compiled: one pass over the bytes, line by line.

    scan(data, …) → rows of columns, the places of all lines, and which lines are doubtful

A line is found, its tokens are noted (`json_scan`), its event type looked up, and that type's
readers turn tokens into values (`json_values`, `timestamps`; texts by their places, for
`codes`).  A line is *doubtful*
when anything about it is not simply right; it leaves no row and `matcher.record` reads it again.

The kernel stops before a line when it might run out of room, or after so many lines that their
bytes are still in the cache; the caller makes room, looks up texts, and goes on from there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind
from matcher.codes import packed
from matcher.compiled import inlined, kernel
from matcher.json_scan import (
    ABSENT,
    BAD,
    END,
    ESCAPED_TEXT,
    FALSE,
    NULL_TOKEN,
    NUMBER,
    OBJECT,
    START,
    TEXT,
    TOKEN,
    TRUE,
    Scratch,
    scan_event,
    skip_number,
    skip_space,
)
from matcher.json_values import decimal_of, float_of, int_of
from matcher.limits import (
    EVENT_BYTES_MAX,
    TIMESTAMP_MS_MAX,
    TIMESTAMP_MS_MIN,
)
from matcher.scan_plan import (
    ABSENTS,
    ABSENTS_END,
    COLUMN,
    DATA_NODE,
    KIND,
    KIND_CODES,
    OPTIONAL,
    PARENTS,
    PARENTS_END,
    READERS,
    READERS_END,
    SCALE,
    SOURCE,
    SPECVERSION_NODE,
    TEXT_LENGTH,
    TEXT_START,
    TIME_COLUMN,
    TIME_NODE,
    TYPE_NODE,
    Plan,
)
from matcher.strings import NULL
from matcher.timestamps import BAD_TIMESTAMP, parse_timestamp
from matcher.words import same_bytes

Data = NDArray[np.uint8]
Table = NDArray[np.int64]

_BOOL, _INT, _FLOAT = KIND_CODES[Kind.BOOL], KIND_CODES[Kind.INT], KIND_CODES[Kind.FLOAT]
_DECIMAL, _TIMESTAMP = KIND_CODES[Kind.DECIMAL], KIND_CODES[Kind.TIMESTAMP]
_DURATION, _RECORD = KIND_CODES[Kind.DURATION], KIND_CODES[Kind.RECORD]
_STRING, _ENUM, _IP = KIND_CODES[Kind.STRING], KIND_CODES[Kind.ENUM], KIND_CODES[Kind.IP]

_NEWLINE, _RETURN = 10, 13

# What a line turned out to be.
ROW, IGNORED, DOUBTFUL = range(3)

FLOATS_MAX = 1 << 14
"""Floats set aside for Python in one call: those `float_of` leaves open."""


class Output(NamedTuple):
    """Room for what is scanned; `counts` says how much of it is filled."""

    line_start: NDArray[np.int64]
    line_end: NDArray[np.int64]
    line_number: NDArray[np.int64]
    doubtful: NDArray[np.int64]  # lines
    row_line: NDArray[np.int64]
    row_type: NDArray[np.int16]
    row_ts: NDArray[np.int64]
    columns: NDArray[np.int64]  # [column, row]
    doubles: NDArray[np.float64]  # the same memory, for the columns of floats
    floats: NDArray[np.int64]  # rows (column, row, start, end)
    counts: NDArray[np.int64]


# Places in `Output.counts`: the next byte and its line number, then what is filled or counted.
PLACE, LINE_NUMBER, LINES, ROWS, DOUBTS, SKIPPED, FLOATS = range(7)


def new_output(lines: int, columns: int) -> Output:
    values = np.empty((columns, lines), np.int64)
    return Output(
        line_start=np.empty(lines, np.int64),
        line_end=np.empty(lines, np.int64),
        line_number=np.empty(lines, np.int64),
        doubtful=np.empty(lines, np.int64),
        row_line=np.empty(lines, np.int64),
        row_type=np.empty(lines, np.int16),
        row_ts=np.empty(lines, np.int64),
        columns=values,
        doubles=values.view(np.float64),
        floats=np.empty((FLOATS_MAX, 4), np.int64),
        counts=np.zeros(7, np.int64),
    )


_BY_LINE = ("line_start", "line_end", "line_number", "doubtful", "row_line", "row_type", "row_ts")


def grown_output(old: Output) -> Output:
    """Twice the room, with what `old` holds."""
    new = new_output(2 * len(old.line_start), len(old.columns))
    new.columns[:, : len(old.line_start)] = old.columns
    for by_line in _BY_LINE:
        getattr(new, by_line)[: len(old.line_start)] = getattr(old, by_line)
    new.counts[:] = old.counts
    return new


@kernel
def scan(
    data: Data, plan: Plan, scratch: Scratch, out: Output, lines_max: int, floats_max: int
) -> None:
    """Scans until the data ends, there are `lines_max` lines, or there is no room for floats.

    `data` ends with a newline; `floats_max` is the most floats one line can need.
    """
    counts = out.counts
    place = counts[PLACE]
    while place < len(data):
        if counts[LINES] == lines_max or counts[FLOATS] + floats_max > FLOATS_MAX:
            break
        start = place
        place = skip_space(data, place)
        if data[place] == _NEWLINE:
            counts[LINE_NUMBER] += 1
            place += 1
            continue
        behind = _tokens_of(data, place, plan, scratch)
        sound = behind >= 0
        if sound:
            place = skip_space(data, behind)
            sound = data[place] == _NEWLINE
        while data[place] != _NEWLINE:
            place += 1
        end = place - 1 if data[place - 1] == _RETURN else place
        place += 1
        line = counts[LINES]
        out.line_start[line] = start
        out.line_end[line] = end
        out.line_number[line] = counts[LINE_NUMBER]
        counts[LINES] += 1
        counts[LINE_NUMBER] += 1
        verdict = DOUBTFUL
        if sound and end - start <= EVENT_BYTES_MAX:
            floats = counts[FLOATS]
            verdict = _fill_row(data, plan, scratch, out)
            if verdict != ROW:
                counts[FLOATS] = floats
        if verdict == ROW:
            out.row_line[counts[ROWS]] = line
            counts[ROWS] += 1
        elif verdict == IGNORED:
            counts[SKIPPED] += 1
        else:
            out.doubtful[counts[DOUBTS]] = line
            counts[DOUBTS] += 1
    counts[PLACE] = place


@inlined
def _tokens_of(data: Data, i: int, plan: Plan, scratch: Scratch) -> int:
    """Behind the object at i, whose tokens are noted; of a CloudEvents envelope, those of `data`.

    The type is then that of the envelope, and its time is noted in `scratch.envelope`.
    """
    tokens, envelope = scratch.tokens, scratch.envelope
    behind = BAD
    while True:
        for node in range(len(plan.node_parent)):
            tokens[TOKEN, node] = ABSENT
        end = scan_event(data, i, 0 if behind < 0 else len(scratch.habits) - 1, plan, scratch)
        if end < 0:
            return BAD
        if behind >= 0:
            for part in range(3):
                tokens[part, TYPE_NODE] = envelope[1, part]
            return behind
        if tokens[TOKEN, SPECVERSION_NODE] <= NULL_TOKEN or tokens[TOKEN, DATA_NODE] != OBJECT:
            envelope[0, TOKEN] = ABSENT
            return end
        for part in range(3):
            envelope[0, part] = tokens[part, TIME_NODE]
            envelope[1, part] = tokens[part, TYPE_NODE]
        behind = end
        i = tokens[START, DATA_NODE]


@inlined
def _fill_row(data: Data, plan: Plan, scratch: Scratch, out: Output) -> int:
    """Fills the next row from the tokens of a line, or says why there is none."""
    tokens = scratch.tokens
    if tokens[TOKEN, TYPE_NODE] != TEXT:
        return DOUBTFUL
    event = _event_of(data, tokens[START, TYPE_NODE], tokens[END, TYPE_NODE], plan)
    if event < 0:
        return IGNORED
    row = out.counts[ROWS]
    time = plan.events[event, TIME_COLUMN]
    for reader in range(plan.events[event, READERS], plan.events[event, READERS_END]):
        node = plan.readers[reader, SOURCE]
        if (
            plan.readers[reader, COLUMN] == time
            and plan.node_parent[node] == 0
            and tokens[TOKEN, node] <= NULL_TOKEN
            and scratch.envelope[0, TOKEN] != ABSENT
        ):
            for part in range(3):
                tokens[part, node] = scratch.envelope[0, part]
        if not _fill_value(data, plan, scratch, out, reader, row):
            return DOUBTFUL
    if time < 0 or out.columns[time, row] == NULL:
        return DOUBTFUL
    for i in range(plan.events[event, ABSENTS], plan.events[event, ABSENTS_END]):
        _fill_null(plan, out, plan.absent_column[i], row)
    out.row_type[row] = event
    out.row_ts[row] = out.columns[time, row]
    return ROW


@inlined
def _event_of(data: Data, start: int, end: int, plan: Plan) -> int:
    """The event type with this discriminator, -1 if no rule reads it."""
    length = end - start
    for event in range(len(plan.events)):
        if plan.events[event, TEXT_LENGTH] == length and same_bytes(
            data, start, plan.type_text, plan.events[event, TEXT_START], length
        ):
            return event
    return -1


@inlined
def _fill_value(
    data: Data, plan: Plan, scratch: Scratch, out: Output, reader: int, row: int
) -> bool:
    """Fills one column of a row; False when in doubt."""
    tokens = scratch.tokens
    node = plan.readers[reader, SOURCE]
    column = plan.readers[reader, COLUMN]
    kind = plan.readers[reader, KIND]
    token, start, end = tokens[TOKEN, node], tokens[START, node], tokens[END, node]
    if token <= NULL_TOKEN:
        _fill_null(plan, out, column, row)
        return _may_be_null(plan, tokens, reader)
    if kind == _FLOAT:
        if token != NUMBER:
            return False
        value = float_of(data, start, end)
        out.doubles[column, row] = value
        if np.isnan(value):  # for Python to read
            place = out.counts[FLOATS]
            out.floats[place, 0] = column
            out.floats[place, 1] = row
            out.floats[place, 2] = start
            out.floats[place, 3] = end
            out.counts[FLOATS] += 1
        return True
    if kind == _STRING or kind == _ENUM or kind == _IP:  # noqa: SIM109 - compiles well
        if token != TEXT and token != ESCAPED_TEXT:
            return False
        out.columns[column, row] = packed(start, end, int(token == ESCAPED_TEXT))
        return True
    whole = _whole(data, token, start, end, kind, plan.readers[reader, SCALE], scratch.date)
    out.columns[column, row] = whole
    return whole != NULL


@inlined
def _fill_null(plan: Plan, out: Output, column: int, row: int) -> None:
    if plan.column_is_float[column]:
        out.doubles[column, row] = np.nan
    else:
        out.columns[column, row] = NULL


@inlined
def _may_be_null(plan: Plan, tokens: Table, reader: int) -> bool:
    """Whether null is right here: nothing but objects around it, and optional or in a null."""
    parent = plan.node_parent[plan.readers[reader, SOURCE]]
    while parent != 0:
        if tokens[TOKEN, parent] > NULL_TOKEN and tokens[TOKEN, parent] != OBJECT:
            return False
        parent = plan.node_parent[parent]
    if plan.readers[reader, OPTIONAL]:
        return True
    for i in range(plan.readers[reader, PARENTS], plan.readers[reader, PARENTS_END]):
        if tokens[TOKEN, plan.optional_parents[i]] <= NULL_TOKEN:
            return True
    return False


@inlined
def _whole(data: Data, token: int, start: int, end: int, kind: int, scale: int, date: Table) -> int:
    """A token as a value of a kind that is an integer in columns; NULL when in doubt."""
    if kind == _TIMESTAMP:
        if token == TEXT:
            ms = parse_timestamp(data, start, end, date)
            return NULL if ms == BAD_TIMESTAMP else ms
        ms = int_of(data, start, end) if token == NUMBER else NULL
        return ms if TIMESTAMP_MS_MIN <= ms <= TIMESTAMP_MS_MAX else NULL
    if kind == _DECIMAL:
        if token == TEXT:
            number = data[start] == 45 or 48 <= data[start] <= 57
            if not number or skip_number(data, start) != end:
                return NULL
        elif token != NUMBER:
            return NULL
        return decimal_of(data, start, end, scale)
    if kind == _INT or kind == _DURATION:  # noqa: SIM109 - compiles well
        return int_of(data, start, end) if token == NUMBER else NULL
    if kind == _BOOL:
        if token == TRUE:
            return 1
        return 0 if token == FALSE else NULL
    if kind == _RECORD:
        return 1 if token == OBJECT else NULL
    return NULL
