"""Lists in columns: a list is kept as the code of its text, so equal lists are equal codes.

list_of(list_text(items)) = items        for tuples of scalars, null included
"""

from __future__ import annotations

import json
from functools import lru_cache


def list_text(items: tuple[object, ...]) -> str:
    """The items as JSON; scalars are as in `dsl.model`, so a decimal is its scaled integer."""
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=65_536)
def list_of(text: str) -> tuple[object, ...]:
    items = json.loads(text)
    return tuple(tuple(item) if isinstance(item, list) else item for item in items)
