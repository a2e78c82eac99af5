"""The decorator of every kernel: compiled by Numba once per machine, still typed.

Machine code is cached under the user's cache folder, in a folder named after a hash of all kernel
sources and of Numba.  Numba's own rule, one stamp per file, would keep code inlined from another
file after that file changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


CONSTANTS = frozenset(
    {
        "buffers.py",
        "bytecode.py",
        "compiled.py",
        "limits.py",
        "scan_plan.py",
        "strings.py",
        "tables.py",
    }
)
"""Sources that kernels take constants and types from, besides those with kernels in them."""


def kernel(function: Function) -> Function:
    """Compile on first call, or load the machine code compiled before."""
    return _compile(function, wrapper=True, inline=False)


def inlined(function: Function) -> Function:
    """Compiled into each kernel that calls it; it has no wrapper, so there is less to compile."""
    return _compile(function, wrapper=False, inline=True)


def outlined(function: Function) -> Function:
    """Called by kernels, for what is rare or called in many places; Python cannot call it."""
    return _compile(function, wrapper=False, inline=False)


def _compile(function: Function, wrapper: bool, inline: bool) -> Function:
    config, njit = cast(Any, numba.config), cast(Any, numba.njit)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder())
    try:
        compiled = njit(
            cache=True,
            error_model="numpy",
            no_cpython_wrapper=not wrapper,
            no_cfunc_wrapper=True,
            forceinline=inline,
            _nrt=False,  # kernels allocate nothing, so need not count references to arrays
        )(function)
        return cast(Function, compiled)
    finally:
        config.CACHE_DIR = before


@cache
def cache_folder() -> Path:
    """Where the machine code of exactly these sources is kept."""
    digest = blake2b(numba.__version__.encode(), digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        text = source.read_bytes()
        if b"matcher.compiled" in text or source.name in CONSTANTS:
            digest.update(text)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cep" / f"kernels-{digest.hexdigest()}"
