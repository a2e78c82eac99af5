"""The declarations of a text by kind and name, found without parsing; and texts without some."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from dsl.source import Source
from dsl.split import KEYWORDS, split

_DECLARED = re.compile(rf"({'|'.join(KEYWORDS)})\s+([A-Za-z_]\w*)")


class Declared(NamedTuple):
    """Characters `start` to `end` of the text; of a test, `name` is that of its rule."""

    kind: str
    name: str
    start: int
    end: int


def declarations(text: str) -> list[Declared]:
    """In order; what is cut wrong or has no name is left out: compiling says what is wrong."""
    chunks, _ = split(Source("", text))
    found = ((_DECLARED.match(text, chunk.start, chunk.end), chunk) for chunk in chunks)
    return [
        Declared(match[1], match[2], chunk.start, chunk.end)
        for match, chunk in found
        if match is not None
    ]


def without(text: str, names: Collection[tuple[str, str]]) -> str:
    """The text with the declarations of these kinds and names blank, all others in their places."""
    for kind, name, start, end in declarations(text):
        if (kind, name) in names:
            text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    return text
