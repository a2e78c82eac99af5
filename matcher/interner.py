"""Bytes of a text ↔ its code, compiled: the hash table and the arena behind `matcher.strings`.

Codes count up from 0 in order of first sight.  Texts are UTF-8; equal bytes have equal codes.  No
Python string is made of a text until somebody asks for one.

Places in the table come from products with two secret numbers (as in wyhash), so that nobody can
choose texts that all fall on one place.  Codes do not depend on the secret.

Kernels never grow the arrays: callers see to it that there is room (`with_room`).
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.words import folded_product, load_word, prefetch, same_bytes, word_of

Octets = NDArray[np.uint8]

SLOTS_MIN = 1 << 12
ARENA_BYTES_MIN = 1 << 16

# Columns of `Interner.slots`.  The words of a text of up to 16 bytes are those bytes; of a longer
# one, a hash and its place in the arena.  LENGTH is one more than the length: 0 is a free slot.
# CODE holds marks above the code.
WORD, MORE, LENGTH, CODE = range(4)

CODE_MASK = np.uint64(0xFFFFFFFF)
PLAIN_IPV4 = np.uint64(1 << 32)
"""A mark: the text is known to be an address as nearly all events write it."""

_NONE = np.empty(0, np.uint8)
_FREE = np.uint64(0)
_ONE = np.uint64(1)
_SHORT = 16
_LINE_WORDS = 8  # of a cache line; a slot that lay across two would take twice as long to fetch


class Interner(NamedTuple):
    """Open addressing with linear probing; one slot is half a cache line."""

    slots: NDArray[np.uint64]
    arena: Octets  # the bytes of all texts, one after another
    texts: Octets  # the arena to be read only, so that it has the type of data that is interned
    begin: NDArray[np.int64]  # by code: where the text begins in the arena; one more than texts
    used: NDArray[np.int64]  # (1,): how many texts
    secret: NDArray[np.uint64]  # (2,), odd


def new_interner() -> Interner:
    secret = np.array([secrets.randbits(64) | 1, secrets.randbits(64) | 1], np.uint64)
    return _empty(SLOTS_MIN, ARENA_BYTES_MIN, secret)


def _empty(slots: int, arena_bytes: int, secret: NDArray[np.uint64]) -> Interner:
    # NumPy asks for huge pages for an empty array, not for one of zeros.
    words = np.empty(4 * slots + _LINE_WORDS, np.uint64)
    words.fill(0)
    first = -(words.ctypes.data // 8) % _LINE_WORDS
    interner = Interner(
        slots=words[first : first + 4 * slots].reshape(slots, 4),
        arena=_NONE,
        texts=_NONE,
        begin=np.empty(slots // 2 + 1, np.int64),
        used=np.zeros(1, np.int64),
        secret=secret,
    )
    interner.begin[0] = 0
    return _with_arena(interner, np.empty(arena_bytes, np.uint8))


def _with_arena(interner: Interner, arena: Octets) -> Interner:
    texts = arena.view()
    texts.flags.writeable = False
    return interner._replace(arena=arena, texts=texts)


def with_room(interner: Interner, texts: int, octets: int) -> Interner:
    """The same texts with room for so many more, of so many bytes in all."""
    count = int(interner.used[0])
    filled = int(interner.begin[count])
    slots, arena_bytes = len(interner.slots), len(interner.arena)
    while 2 * (count + texts) > slots:
        slots *= 2
    while filled + octets > arena_bytes:
        arena_bytes *= 2
    if slots != len(interner.slots):
        larger = _empty(slots, 0, interner.secret)._replace(used=interner.used)
        _rehash(interner, larger)
        larger.begin[: count + 1] = interner.begin[: count + 1]
        interner = _with_arena(larger, interner.arena)
    if arena_bytes != len(interner.arena):
        arena = np.empty(arena_bytes, np.uint8)
        arena[:filled] = interner.arena[:filled]
        interner = _with_arena(interner, arena)
    return interner


@inlined
def prefetch_text(data: Octets, start: int, length: int, interner: Interner) -> None:
    """Begin to fetch the slot where a look-up of the text will begin."""
    word, more = _words(data, start, length, interner)
    prefetch(interner.slots, _first_slot(word, more, interner))


@inlined
def intern(data: Octets, start: int, length: int, interner: Interner) -> Any:
    """The slot of data[start:][:length]; a text not seen before gets one, and the next code.

    The text may lie where the arena is free: there it stays.
    """
    slots, arena = interner.slots, interner.arena
    word, more = _words(data, start, length, interner)
    slot = _slot_of(data, start, length, word, more, interner)
    if slots[slot, LENGTH] == _FREE:
        code = interner.used[0]
        place = interner.begin[code]
        for k in range(length):
            arena[place + k] = data[start + k]
        slots[slot, WORD] = word
        slots[slot, MORE] = more if length <= _SHORT else np.uint64(place)
        slots[slot, LENGTH] = np.uint64(length) + _ONE
        slots[slot, CODE] = np.uint64(code)
        interner.begin[code + 1] = place + length
        interner.used[0] = code + 1
    return slot


@inlined
def code_at(slot: Any, interner: Interner) -> Any:
    """The code of the text in a slot that is not free."""
    return np.int64(interner.slots[slot, CODE] & CODE_MASK)


@inlined
def _words(data: Octets, start: int, length: int, interner: Interner) -> tuple[Any, Any]:
    """What a text is told apart by: its bytes, or a hash and nothing."""
    if length <= 8:
        return word_of(data, start, length), _FREE
    if length <= _SHORT:
        return load_word(data, start), word_of(data, start + 8, length - 8)
    return _hash(data, start, length, interner.secret), _FREE


@inlined
def _hash(data: Octets, start: int, length: int, secret: NDArray[np.uint64]) -> Any:
    """Of more than 16 bytes, sixteen at a time; the last ones may overlap the ones before."""
    mixed = secret[0] ^ np.uint64(length)
    k = start
    last = start + length - 16
    while k < last:
        mixed = folded_product(load_word(data, k) ^ secret[1], load_word(data, k + 8) ^ mixed)
        k += 16
    return folded_product(load_word(data, last) ^ secret[1], load_word(data, last + 8) ^ mixed)


@inlined
def _slot_of(
    data: Octets, start: int, length: int, word: Any, more: Any, interner: Interner
) -> Any:
    """The slot of the text, or the free slot where it belongs."""
    slots = interner.slots
    mask = len(slots) - 1
    known = np.uint64(length) + _ONE
    slot = _first_slot(word, more, interner)
    while slots[slot, LENGTH] != _FREE:
        if slots[slot, WORD] == word and slots[slot, LENGTH] == known:
            if length <= _SHORT:
                if slots[slot, MORE] == more:
                    break
            elif same_bytes(data, start, interner.texts, np.int64(slots[slot, MORE]), length):  # type: ignore[arg-type]  # an int when compiled
                break
        slot = (slot + 1) & mask
    return slot


@inlined
def _first_slot(word: Any, more: Any, interner: Interner) -> Any:
    mixed = folded_product(word ^ interner.secret[0], more ^ interner.secret[1])
    return np.int64(mixed & np.uint64(len(interner.slots) - 1))


@kernel
def intern_all(
    data: Octets, bounds: NDArray[np.int64], interner: Interner, codes: NDArray[np.int64]
) -> None:
    """codes[i] = the code of data[bounds[i]:bounds[i + 1]]; there is room for all."""
    for number in range(len(codes)):
        start = bounds[number]
        slot = intern(data, start, bounds[number + 1] - start, interner)
        codes[number] = code_at(slot, interner)


@kernel
def _rehash(old: Interner, new: Interner) -> None:
    mask = len(new.slots) - 1
    for i in range(len(old.slots)):
        if old.slots[i, LENGTH] != _FREE:
            short = old.slots[i, LENGTH] <= np.uint64(_SHORT + 1)
            more = old.slots[i, MORE] if short else _FREE
            slot = _first_slot(old.slots[i, WORD], more, new)
            while new.slots[slot, LENGTH] != _FREE:
                slot = (slot + 1) & mask
            for column in range(4):
                new.slots[slot, column] = old.slots[i, column]
