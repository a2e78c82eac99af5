"""The decorator of every kernel: compiled by Numba once per machine, still typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile on first call; the machine code is cached on disk beside the source."""
    return cast(Function, njit(cache=True)(function))
