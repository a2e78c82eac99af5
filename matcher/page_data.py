"""What a page will have: its bytes, or, while it is only frozen, what makes them.

To freeze state is to copy what has changed, which is fast; to make the bytes of its pages takes
longer, and may be done bit by bit while the state goes on changing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

PageData: TypeAlias = bytes | Callable[[], bytes]
"""Call it once, in the thread that moves the state."""


def made(data: PageData) -> bytes:
    return data if isinstance(data, bytes) else data()


def all_made(pages: Mapping[str, PageData]) -> dict[str, bytes]:
    return {name: made(data) for name, data in pages.items()}
