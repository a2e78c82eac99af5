"""Eight bytes at a time, compiled: unaligned loads and searches within a 64-bit word.

Words are little endian: the first byte is the lowest.  The searches are those of S. E. Anderson's
"Bit Twiddling Hacks" (a zero byte, a byte below n); they are exact for the lowest byte found.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # has no stubs
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from matcher.compiled import inlined

assert sys.byteorder == "little", "the scanner reads words as little endian"

BUCKET_MULTIPLIER = 0x9E3779B97F4A7C15

_LOW = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES = np.uint64(0x2020202020202020)
_BYTE = np.uint64(8)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _load_word(context: Any, data: Any, i: Any) -> Any:
    """The 8 bytes from data[i]; the caller has checked that they are all in `data`."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, args[0])
        address = builder.gep(array.data, [args[1]])
        word = ir.IntType(64)
        return builder.load(builder.bitcast(address, word.as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


load_word: Any = intrinsic(_load_word)


def _prefetch(context: Any, table: Any, row: Any) -> Any:
    """Have the cache line of table[row, 0] fetched while other work goes on."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, args[0])
        stride = builder.extract_value(array.strides, 0)
        data = builder.ptrtoint(array.data, ir.IntType(64))
        address = builder.add(data, builder.mul(args[1], stride))
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        function = builder.module.globals.get("llvm.prefetch.p0") or ir.Function(
            builder.module, kind, "llvm.prefetch.p0"
        )
        read, keep, of_data = flag(0), flag(3), flag(1)
        builder.call(function, [builder.inttoptr(address, pointer), read, keep, of_data])
        return target.get_dummy_value()

    return types.void(table, types.int64), generate


prefetch: Any = intrinsic(_prefetch)


def _folded_product(context: Any, x: Any, y: Any) -> Any:
    """The two halves of the 128 bits of x * y, exclusive or."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.trunc(builder.lshr(product, wide(64)), ir.IntType(64))
        return builder.xor(builder.trunc(product, ir.IntType(64)), high)

    return types.uint64(types.uint64, types.uint64), generate


folded_product: Any = intrinsic(_folded_product)


def _trailing_zeros(context: Any, word: Any) -> Any:
    """How many of the lowest bits are zero."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


trailing_zeros: Any = intrinsic(_trailing_zeros)


def _leading_zeros(context: Any, word: Any) -> Any:
    """How many of the highest bits are zero."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


leading_zeros: Any = intrinsic(_leading_zeros)


@inlined
def ends_of_text(word: Any) -> Any:
    """The high bit of the first byte that is a quote, a backslash or a control; 0 if none is."""
    quotes = word ^ _QUOTES
    backslashes = word ^ _BACKSLASHES
    found = (quotes - _LOW) & ~quotes
    found |= (backslashes - _LOW) & ~backslashes
    found |= (word - _SPACES) & ~word
    return found & _HIGH


@inlined
def word_of(data: NDArray[np.uint8], start: int, length: int) -> Any:
    """The first 8 of `length` bytes from data[start], zeros behind the last."""
    if length >= 8:
        return load_word(data, start)
    if start + 8 <= len(data):
        if length == 0:
            return np.uint64(0)
        return load_word(data, start) & (_ALL >> (_BYTE * np.uint64(8 - length)))
    word = np.uint64(0)
    for k in range(length):
        word |= np.uint64(data[start + k]) << (_BYTE * np.uint64(k))
    return word


@inlined
def same_bytes(
    x: NDArray[np.uint8], at_x: int, y: NDArray[np.uint8], at_y: int, length: int
) -> bool:
    """Whether x[at_x:][:length] and y[at_y:][:length] are equal."""
    k = 0
    while k + 8 <= length:
        if load_word(x, at_x + k) != load_word(y, at_y + k):
            return False
        k += 8
    while k < length:
        if x[at_x + k] != y[at_y + k]:
            return False
        k += 1
    return True


@inlined
def bucket_of(word: Any, length: int, bits: int) -> Any:
    """Spreads texts by their first bytes and length over 2**bits buckets."""
    mixed = (word ^ np.uint64(length)) * np.uint64(BUCKET_MULTIPLIER)
    return np.int64(mixed >> np.uint64(64 - bits))
