"""Python's search for reference cycles rests while a step makes its many objects, and no cycles.

Matches and what they are made of live as long as a step or a commit, so searching among them finds
nothing; but in a large program their number makes Python look through all its other objects, too.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Of the whole process, threads included, while it lasts."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()
