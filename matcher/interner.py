"""Bytes of a text ↔ its code, compiled: the hash table and the arena behind `matcher.strings`.

Codes count up from 0 in order of first sight.  Texts are UTF-8; equal bytes have equal codes.  No
Python string is made of a text until somebody asks for one.

Kernels never grow the arrays: callers see to it that there is room (`has_room`, `grown`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.words import load_word, prefetch, same_bytes, word_of

SLOTS_MIN = 1 << 12
ARENA_BYTES_MIN = 1 << 16

UNKNOWN = -1

# Columns of `Interner.slots`.  The words of a text of up to 16 bytes are those bytes; of a longer
# one, a hash and its place in the arena.  LENGTH is one more than the length: 0 is a free slot.
WORD, MORE, LENGTH, CODE = range(4)

_FREE = np.uint64(0)
_ONE = np.uint64(1)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHORT = 16


class Interner(NamedTuple):
    """Open addressing with linear probing; one slot is half a cache line."""

    slots: NDArray[np.uint64]
    arena: NDArray[np.uint8]  # the bytes of all texts, one after another
    begin: NDArray[np.int64]  # by code: where the text begins in the arena; one more than texts
    used: NDArray[np.int64]  # (1,): how many texts


def new_interner(slots: int = SLOTS_MIN, arena_bytes: int = ARENA_BYTES_MIN) -> Interner:
    return Interner(
        slots=np.zeros((slots, 4), np.uint64),
        arena=np.zeros(arena_bytes, np.uint8),
        begin=np.zeros(slots // 2 + 1, np.int64),
        used=np.zeros(1, np.int64),
    )


@inlined
def has_room(interner: Interner, length: int) -> bool:
    """Whether one more text of so many bytes fits."""
    count = interner.used[0]
    return bool(
        count + 1 < len(interner.begin)
        and interner.begin[count] + length + _SHORT <= len(interner.arena)
    )


@inlined
def prefetch_text(data: NDArray[np.uint8], start: int, length: int, interner: Interner) -> None:
    """Begin to fetch the slot where a look-up of the text will begin."""
    word, more = _words(data, start, length)
    prefetch(interner.slots, _first_slot(word, more, len(interner.slots) - 1))


@inlined
def code_of(data: NDArray[np.uint8], start: int, length: int, interner: Interner) -> int:
    """The code of data[start:][:length], or UNKNOWN."""
    word, more = _words(data, start, length)
    slot = _slot_of(data, start, length, word, more, interner)
    if interner.slots[slot, LENGTH] == _FREE:
        return UNKNOWN
    return np.int64(interner.slots[slot, CODE])  # type: ignore[return-value]  # an int when compiled


@inlined
def intern(data: NDArray[np.uint8], start: int, length: int, interner: Interner) -> int:
    """The code of data[start:][:length], a new one at first sight; there is room for it."""
    slots = interner.slots
    word, more = _words(data, start, length)
    slot = _slot_of(data, start, length, word, more, interner)
    if slots[slot, LENGTH] != _FREE:
        return np.int64(slots[slot, CODE])  # type: ignore[return-value]  # an int when compiled
    code = interner.used[0]
    place = interner.begin[code]
    for k in range(length):
        interner.arena[place + k] = data[start + k]
    slots[slot, WORD] = word
    slots[slot, MORE] = more if length <= _SHORT else np.uint64(place)
    slots[slot, LENGTH] = np.uint64(length) + _ONE
    slots[slot, CODE] = np.uint64(code)
    interner.begin[code + 1] = place + length
    interner.used[0] = code + 1
    return int(code)


@inlined
def _words(data: NDArray[np.uint8], start: int, length: int) -> tuple[Any, Any]:
    """What a text is told apart by: its bytes, or a hash and nothing."""
    if length <= 8:
        return word_of(data, start, length), np.uint64(0)
    if length <= _SHORT:
        return load_word(data, start), word_of(data, start + 8, length - 8)
    return _hash(data, start, length), np.uint64(0)


@inlined
def _hash(data: NDArray[np.uint8], start: int, length: int) -> Any:
    """Of more than 16 bytes, eight at a time; the last eight may overlap the ones before."""
    mixed = np.uint64(length) * _MULTIPLIER
    k = 0
    while k + 8 <= length:
        mixed = (mixed ^ load_word(data, start + k)) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        k += 8
    mixed = (mixed ^ load_word(data, start + length - 8)) * _MULTIPLIER
    return mixed ^ (mixed >> np.uint64(32))


@inlined
def _slot_of(
    data: NDArray[np.uint8], start: int, length: int, word: Any, more: Any, interner: Interner
) -> int:
    """The slot of the text, or the free slot where it belongs."""
    slots = interner.slots
    mask = len(slots) - 1
    known = np.uint64(length) + _ONE
    slot = _first_slot(word, more, mask)
    while slots[slot, LENGTH] != _FREE:
        if slots[slot, WORD] == word and slots[slot, LENGTH] == known:
            if length <= _SHORT:
                if slots[slot, MORE] == more:
                    break
            elif same_bytes(data, start, interner.arena, np.int64(slots[slot, MORE]), length):  # type: ignore[arg-type]  # an int when compiled
                break
        slot = (slot + 1) & mask
    return slot


@inlined
def _first_slot(word: Any, more: Any, mask: int) -> int:
    mixed = (word ^ (more * _MULTIPLIER)) * _MULTIPLIER
    mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed * _MULTIPLIER >> np.uint64(32)) & mask  # type: ignore[return-value]  # an int when compiled


@kernel
def intern_all(
    begin: int, data: NDArray[np.uint8], bounds: NDArray[np.int64], interner: Interner,
    codes: NDArray[np.int64],
) -> int:  # fmt: skip
    """Intern the texts data[bounds[i]:bounds[i + 1]] from number `begin` on.

    Returns the number of the first for which there is no room.
    """
    for number in range(begin, len(codes)):
        start, length = bounds[number], bounds[number + 1] - bounds[number]
        if not has_room(interner, length):
            return number
        codes[number] = intern(data, start, length, interner)
    return len(codes)


@kernel
def _rehash(old: Interner, new: Interner) -> None:
    mask = len(new.slots) - 1
    for i in range(len(old.slots)):
        if old.slots[i, LENGTH] != _FREE:
            short = old.slots[i, LENGTH] <= np.uint64(_SHORT + 1)
            more = old.slots[i, MORE] if short else np.uint64(0)
            slot = _first_slot(old.slots[i, WORD], more, mask)
            while new.slots[slot, LENGTH] != _FREE:
                slot = (slot + 1) & mask
            for column in range(4):
                new.slots[slot, column] = old.slots[i, column]


def grown(interner: Interner, length: int) -> Interner:
    """The same texts with room for more, one of so many bytes at least."""
    count = int(interner.used[0])
    filled = int(interner.begin[count])
    slots, arena_bytes = len(interner.slots), len(interner.arena)
    if count + 1 >= len(interner.begin):
        slots *= 2
    while filled + length + _SHORT > arena_bytes:
        arena_bytes *= 2
    larger = interner
    if slots != len(interner.slots):
        larger = new_interner(slots, 0)._replace(used=interner.used)
        _rehash(interner, larger)
        larger.begin[: count + 1] = interner.begin[: count + 1]
    arena = interner.arena
    if arena_bytes != len(arena):
        arena = np.zeros(arena_bytes, np.uint8)
        arena[:filled] = interner.arena[:filled]
    return larger._replace(arena=arena)
