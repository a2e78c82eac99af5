"""How often Python looks for reference cycles in a process that runs the engine.

The engine makes many objects and no cycles; by default every 700th object starts a search, and what
was loaded at start is searched again and again.
"""

from __future__ import annotations

import gc

_YOUNG_OBJECTS = 50_000
_YOUNG_SEARCHES = 20
_MIDDLE_SEARCHES = 50


def tune_garbage_collection() -> None:
    """For a process whose modules are loaded and which will run for long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_SEARCHES, _MIDDLE_SEARCHES)
