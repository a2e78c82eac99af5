"""The JSON grammar (RFC 8259) over bytes, compiled: finds the tokens that a plan asks for.

    scan_event(data, i) → the place behind the object that begins at i, and tokens[node] for each
                          node of the plan that is in it; or a negative place

The data must end with a newline: no token can contain one, so nothing reads past the end.  What is
refused here is read again by `matcher.record`, so this code may give up on what is rare: keys with
escapes, a key twice, great depth.  Text is taken to be UTF-8; callers have checked that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, outlined
from matcher.key_habits import (
    CHILD,
    LENGTH,
    NEXT_HABIT,
    fits,
    learn,
    new_habits,
)
from matcher.limits import EVENT_DEPTH_MAX
from matcher.scan_plan import KEY_BUCKET_BITS, KEY_LENGTH, KEY_START, NEXT, NODE, Plan
from matcher.timestamps import new_memo
from matcher.words import bucket_of, ends_of_text, load_word, same_bytes, trailing_zeros, word_of

Data = NDArray[np.uint8]
Table = NDArray[np.int64]

# Rows of `Scratch.tokens`, and what kind of token a node has in the line.
TOKEN, START, END = range(3)
ABSENT, NULL_TOKEN, TRUE, FALSE, NUMBER, TEXT, ESCAPED_TEXT, OBJECT, ARRAY = range(9)

_NONE = np.uint64(0)
BAD = -1
"""Not a place: the line is not JSON, or not simple enough."""

_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = 123, 125, 91, 93
_MINUS, _PLUS, _DOT, _ZERO, _NINE = 45, 43, 46, 48, 57


class Scratch(NamedTuple):
    """Room for one line: its tokens, one column per node of the plan, and its open brackets."""

    tokens: Table  # rows TOKEN, START and END
    envelope: Table  # [0]: the token of an envelope's time; [1]: of its type
    open_nodes: NDArray[np.int64]
    closers: Data
    date: Table  # the memo of `timestamps.parse_timestamp`
    habits: NDArray[np.uint64]  # see `key_habits`


def new_scratch(nodes: int) -> Scratch:
    return Scratch(
        np.zeros((3, nodes), np.int64),
        np.zeros((2, 3), np.int64),
        np.zeros(EVENT_DEPTH_MAX + 1, np.int64),
        np.zeros(EVENT_DEPTH_MAX + 1, np.uint8),
        new_memo(),
        new_habits(nodes),
    )


@inlined
def skip_space(data: Data, i: int) -> int:
    """Behind white space; a newline is none, as it ends the line."""
    while data[i] == 32 or data[i] == 9 or data[i] == 13:
        i += 1
    return i


@inlined
def skip_text(data: Data, i: int) -> tuple[int, bool]:
    """From behind the opening quote to behind the closing one; and whether there are escapes."""
    escaped = False
    last_word = len(data) - 8
    while True:
        while i <= last_word:
            found = ends_of_text(load_word(data, i))
            if found != _NONE:
                i += trailing_zeros(found) >> 3
                break
            i += 8
        c = data[i]
        i += 1
        if c == _QUOTE:
            return i, escaped
        if c < 32:
            return BAD, escaped
        if c == _BACKSLASH:
            escaped = True
            i = _skip_escape(data, i)
            if i < 0:
                return BAD, escaped


@outlined
def _skip_escape(data: Data, i: int) -> int:
    c = data[i]
    if c == 117:  # u
        for k in range(i + 1, i + 5):
            digit = data[k]
            if not (48 <= digit <= 57 or 65 <= digit <= 70 or 97 <= digit <= 102):
                return BAD
        return i + 5
    # " \ / b f n r t
    if c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
        return i + 1
    return BAD


@inlined
def skip_number(data: Data, i: int) -> int:
    if data[i] == _MINUS:
        i += 1
    if data[i] == _ZERO:
        i += 1
    else:
        first = i
        i = _skip_digits(data, i)
        if i == first:
            return BAD
    if data[i] == _DOT:
        first = i + 1
        i = _skip_digits(data, first)
        if i == first:
            return BAD
    if data[i] == 101 or data[i] == 69:  # e E
        i += 1
        if data[i] == _PLUS or data[i] == _MINUS:
            i += 1
        first = i
        i = _skip_digits(data, i)
        if i == first:
            return BAD
    return i


@inlined
def _skip_digits(data: Data, i: int) -> int:
    while _ZERO <= data[i] <= _NINE:
        i += 1
    return i


@inlined
def _skip_word(data: Data, i: int) -> int:
    """true, false or null."""
    c = data[i]
    if c == 116 and data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101:
        return i + 4
    if c == 110 and data[i + 1] == 117 and data[i + 2] == 108 and data[i + 3] == 108:
        return i + 4
    if c == 102 and data[i + 1] == 97 and data[i + 2] == 108 and data[i + 3] == 115:
        return i + 5 if data[i + 4] == 101 else BAD
    return BAD


@inlined
def _skip_scalar(data: Data, i: int) -> int:
    c = data[i]
    if c == _QUOTE:
        return skip_text(data, i + 1)[0]
    if c == _MINUS or _ZERO <= c <= _NINE:
        return skip_number(data, i)
    return _skip_word(data, i)


@outlined
def skip_value(data: Data, i: int, depth: int, closers: Data) -> int:
    """Behind the value at i.  `closers` is room for the brackets that are open."""
    bottom = depth
    while True:
        # at the beginning of a value
        c = data[i]
        if c == _OPEN_OBJECT or c == _OPEN_ARRAY:  # noqa: SIM109 - compiles well
            if depth >= EVENT_DEPTH_MAX:
                return BAD
            closers[depth] = c + 2  # its closing bracket
            depth += 1
            i = skip_space(data, i + 1)
            if data[i] == c + 2:
                depth -= 1
                i += 1
            else:
                if c == _OPEN_OBJECT:
                    i = _skip_key(data, i)
                    if i < 0:
                        return BAD
                continue
        else:
            i = _skip_scalar(data, i)
            if i < 0:
                return BAD
        # behind a value: close what closes, go on behind a comma
        while True:
            if depth == bottom:
                return i
            i = skip_space(data, i)
            c = data[i]
            if c == closers[depth - 1]:
                depth -= 1
                i += 1
                continue
            if c != _COMMA:
                return BAD
            i = skip_space(data, i + 1)
            if closers[depth - 1] == _CLOSE_OBJECT:
                i = _skip_key(data, i)
                if i < 0:
                    return BAD
            break


@inlined
def _skip_key(data: Data, i: int) -> int:
    """From the quote of a key to the beginning of its value."""
    if data[i] != _QUOTE:
        return BAD
    i, _ = skip_text(data, i + 1)
    if i < 0:
        return BAD
    i = skip_space(data, i)
    if data[i] != _COLON:
        return BAD
    return skip_space(data, i + 1)


@inlined
def _child(data: Data, start: int, end: int, node: int, plan: Plan) -> int:
    """The node of the key data[start:end] inside of `node`; -1 if the plan has none."""
    length = end - start
    word = word_of(data, start, length)
    child = plan.buckets[node, bucket_of(word, length, KEY_BUCKET_BITS)]
    while child >= 0:
        if plan.child_word[child] == word and plan.children[child, KEY_LENGTH] == length:
            key = plan.children[child, KEY_START]
            if length <= 8 or same_bytes(data, start, plan.keys, key, length):
                return int(plan.children[child, NODE])
        child = plan.children[child, NEXT]
    return -1


@inlined
def scan_event(data: Data, i: int, first: int, plan: Plan, scratch: Scratch) -> int:
    """See the module head; texts are given without their quotes.

    `first` is the habit (see `key_habits`) of objects that begin here.
    """
    tokens, open_nodes, closers = scratch.tokens, scratch.open_nodes, scratch.closers
    habits = scratch.habits
    if data[i] != _OPEN_OBJECT:
        return BAD
    i = skip_space(data, i + 1)
    # Variables that begin with a literal would have what they are passed to compiled twice.
    node: Any = np.int64(0)
    depth: Any = np.int64(1)
    last: Any = np.int64(first)
    empty = True
    while True:
        # where a key or the end of the object stands
        if empty and data[i] == _CLOSE_OBJECT:
            closed = True
        else:
            closed = False
            habit: Any = np.int64(habits[last, NEXT_HABIT])
            if fits(data, i, node, habits, habit):
                length: Any = np.int64(habits[habit, LENGTH])
                i = skip_space(data, i + length)
                child: Any = np.int64(habits[habit, CHILD])
            else:
                start = i + 1
                if data[i] != _QUOTE:
                    return BAD
                i, escaped = skip_text(data, start)
                if i < 0 or escaped:  # an escaped key may be any of the plan's
                    return BAD
                end = i - 1
                i = skip_space(data, i)
                if data[i] != _COLON:
                    return BAD
                i = skip_space(data, i + 1)
                child = _child(data, start, end, node, plan)
                habit = learn(data, start - 1, i, node, child, habits, last)
            last = habit
            if child < 0:
                if data[i] == _OPEN_OBJECT or data[i] == _OPEN_ARRAY:
                    i = skip_value(data, i, depth, closers)
                else:
                    i = _skip_scalar(data, i)
                if i < 0:
                    return BAD
            else:
                if tokens[TOKEN, child] != ABSENT:
                    return BAD
                tokens[START, child] = i
                if data[i] == _OPEN_OBJECT and plan.has_children[child]:
                    if depth >= EVENT_DEPTH_MAX:
                        return BAD
                    tokens[TOKEN, child] = OBJECT
                    open_nodes[depth] = node
                    depth += 1
                    node = child
                    empty = True
                    i = skip_space(data, i + 1)
                    continue
                i = _scan_value(data, i, child, depth, tokens, closers)
                if i < 0:
                    return BAD
        # behind a value, or at the bracket that closes an empty object
        while True:
            if not closed:
                i = skip_space(data, i)
            if data[i] != _CLOSE_OBJECT:
                break
            closed = False
            i += 1
            depth -= 1
            if depth == 0:
                return i
            tokens[END, node] = i
            node = open_nodes[depth]
        if data[i] != _COMMA:
            return BAD
        i = skip_space(data, i + 1)
        empty = False


@inlined
def _scan_value(data: Data, i: int, node: int, depth: int, tokens: Table, closers: Data) -> int:
    """Notes the token of a value that is not looked into."""
    c = data[i]
    if c == _QUOTE:
        start = i + 1
        i, escaped = skip_text(data, start)
        if i < 0:
            return BAD
        tokens[TOKEN, node] = ESCAPED_TEXT if escaped else TEXT
        tokens[START, node] = start
        tokens[END, node] = i - 1
        return i
    if c == _OPEN_OBJECT or c == _OPEN_ARRAY:  # noqa: SIM109 - compiles well
        i = skip_value(data, i, depth, closers)
        tokens[TOKEN, node] = OBJECT if c == _OPEN_OBJECT else ARRAY
    elif c == 116:
        i = _skip_word(data, i)
        tokens[TOKEN, node] = TRUE
    elif c == 102:
        i = _skip_word(data, i)
        tokens[TOKEN, node] = FALSE
    elif c == 110:
        i = _skip_word(data, i)
        tokens[TOKEN, node] = NULL_TOKEN
    else:
        i = skip_number(data, i)
        tokens[TOKEN, node] = NUMBER
    tokens[END, node] = i
    return i
