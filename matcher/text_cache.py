"""Bytes of a JSON text → its code, compiled: a hash table in front of the interner.

The scanner looks every text up here.  One it does not know gets a place in the list of pending
texts and a provisional entry, so that it is pending once; Python then decodes it, asks the interner
for its code (or refuses it) and settles the entry.  A text is known by its raw bytes and domain:
two spellings of one text are two entries with the same code.

Like the interner's codes, the table can be dropped at any time; it is, when it grows too large.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.words import load_word, same_bytes, word_of

SLOTS_MIN = 1 << 12
ENTRIES_MAX = 1 << 21
ARENA_BYTES_MIN = 1 << 16
ARENA_BYTES_MAX = 1 << 26
PENDING_MAX = 1 << 14

_FREE = np.uint64(0)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

REFUSED = -1
"""The code of a text that has no place in its domain."""


# Columns of `TextCache.slots`; a slot is free while its key is 0.
WORD, KEY, START, CODE = range(4)


class TextCache(NamedTuple):
    """Open addressing with linear probing; one slot is half a cache line.

    The word of a text of up to 8 bytes is those bytes, of a longer one a hash; the key is made of
    its length and domain, so that a short text is known without a look at the arena.
    """

    slots: NDArray[np.uint64]  # the code of a pending text is -2 - its place in the list
    arena: NDArray[np.uint8]  # the bytes of longer texts, one after another
    used: NDArray[np.int64]  # slots, bytes of the arena, pending
    pending: NDArray[np.int64]  # rows (slot, domain, start in the data, end)


def new_cache(slots: int = SLOTS_MIN, arena_bytes: int = ARENA_BYTES_MIN) -> TextCache:
    return TextCache(
        slots=np.zeros((slots, 4), np.uint64),
        arena=np.zeros(arena_bytes, np.uint8),
        used=np.zeros(3, np.int64),
        pending=np.zeros((PENDING_MAX, 4), np.int64),
    )


def has_room(cache: TextCache, texts: int, octets: int) -> bool:
    """Whether `texts` more texts of `octets` bytes in all fit without growing."""
    return bool(
        2 * (cache.used[0] + texts) <= len(cache.slots)
        and cache.used[1] + octets <= len(cache.arena)
        and cache.used[2] + texts <= len(cache.pending)
    )


@inlined
def text_code(data: NDArray[np.uint8], start: int, end: int, domain: int, cache: TextCache) -> int:
    """The code of data[start:end], REFUSED, or -2 - k for the k-th pending text.

    The caller has seen to it that the cache has room.
    """
    slots, arena, used, pending = cache.slots, cache.arena, cache.used, cache.pending
    length = end - start
    word = word_of(data, start, length) if length <= 8 else _hash(data, start, length)
    key = np.uint64(1) + np.uint64(length) + (np.uint64(domain) << np.uint64(32))
    mask = len(slots) - 1
    slot = _first_slot(word, key, mask)
    while slots[slot, KEY] != _FREE:
        if slots[slot, KEY] == key and slots[slot, WORD] == word:
            at: Any = np.int64(slots[slot, START])
            if length <= 8 or same_bytes(data, start, arena, at, length):
                return np.int64(slots[slot, CODE])  # type: ignore[return-value]  # an int when compiled
        slot = (slot + 1) & mask
    place = used[2]
    slots[slot, WORD] = word
    slots[slot, KEY] = key
    slots[slot, START] = np.uint64(used[1])
    slots[slot, CODE] = np.uint64(np.int64(-2 - place))
    pending[place, 0] = slot
    pending[place, 1] = domain
    pending[place, 2] = start
    pending[place, 3] = end
    if length > 8:
        for k in range(length):
            arena[used[1] + k] = data[start + k]
        used[1] += length
    used[0] += 1
    used[2] += 1
    return int(-2 - place)


@inlined
def _hash(data: NDArray[np.uint8], start: int, length: int) -> Any:
    """Of more than 8 bytes, eight at a time; the last eight may overlap the ones before."""
    mixed = np.uint64(length) * _MULTIPLIER
    k = 0
    while k + 8 <= length:
        mixed = (mixed ^ load_word(data, start + k)) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        k += 8
    mixed = (mixed ^ load_word(data, start + length - 8)) * _MULTIPLIER
    return mixed ^ (mixed >> np.uint64(32))


@inlined
def _first_slot(word: Any, key: Any, mask: int) -> Any:
    mixed = (word ^ (key * _MULTIPLIER)) * _MULTIPLIER
    return np.int64(mixed >> np.uint64(32)) & mask


@kernel
def _rehash(old: TextCache, new: TextCache) -> None:
    mask = len(new.slots) - 1
    for i in range(len(old.slots)):
        if old.slots[i, KEY] != _FREE:
            slot = _first_slot(old.slots[i, WORD], old.slots[i, KEY], mask)
            while new.slots[slot, KEY] != _FREE:
                slot = (slot + 1) & mask
            for column in range(4):
                new.slots[slot, column] = old.slots[i, column]
    new.used[0] = old.used[0]


def grown(cache: TextCache, texts: int, octets: int) -> TextCache:
    """A cache with the settled entries of `cache` and room for as much more, or an empty one."""
    assert cache.used[2] == 0, "pending texts must be settled first"
    slots, arena = len(cache.slots), len(cache.arena)
    while 2 * (int(cache.used[0]) + texts) > slots:
        slots *= 4
    while int(cache.used[1]) + octets > arena:
        arena *= 4
    if cache.used[0] > ENTRIES_MAX or arena > max(ARENA_BYTES_MAX, octets):
        return new_cache(SLOTS_MIN, max(ARENA_BYTES_MIN, octets))
    new = new_cache(slots, arena)
    _rehash(cache, new)
    new.arena[: cache.used[1]] = cache.arena[: cache.used[1]]
    new.used[1] = cache.used[1]
    return new
