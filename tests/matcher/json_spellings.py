"""One JSON value in any of the ways it can be written: spacing, order, escapes, keys twice."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[object]], object]

_SPACES = st.sampled_from(["", "", "", " ", "  ", "\t", "\r "])
_NAMED = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NAMED |= {'"': '\\"', "\\": "\\\\", "/": "\\/"}


@st.composite
def spelled(draw: Draw, values: st.SearchStrategy[object]) -> bytes:
    """One line with one of `values`; all its spaces are alike, or each is drawn for itself."""
    value = draw(values)
    habit = draw(st.sampled_from(["compact", "spaced", "wild"]))
    escapes = draw(st.integers(0, 3))
    space = draw(_SPACES) if habit != "compact" else ""

    def gap() -> str:
        return str(draw(_SPACES) if habit == "wild" else space)

    def text(value: str) -> str:
        return '"' + "".join(map(character, value)) + '"'

    def character(c: str) -> str:
        must = c < " " or c in '"\\' or "\ud800" <= c <= "\udfff"
        if not must and not (escapes == 3 and draw(st.booleans())):
            return c
        if c in _NAMED and draw(st.booleans()):
            return _NAMED[c]
        units = c.encode("utf-16-be", "surrogatepass").hex()
        if draw(st.booleans()):
            units = units.upper()
        return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

    def written(value: object) -> str:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, list):
            return "[" + gap() + (gap() + "," + gap()).join(map(written, value)) + gap() + "]"
        if isinstance(value, dict):
            pairs = list(value.items())
            if habit != "compact" or draw(st.booleans()):
                pairs = list(draw(st.permutations(pairs)))
            if pairs and draw(st.integers(0, 15)) == 0:
                pairs.insert(0, (pairs[-1][0], draw(st.sampled_from([None, 1, "x", {}]))))
            parts = [text(key) + gap() + ":" + gap() + written(inner) for key, inner in pairs]
            return "{" + gap() + (gap() + "," + gap()).join(parts) + gap() + "}"
        return json.dumps(value)

    line = gap() + written(value) + gap()
    return line.encode("utf-8", "surrogatepass")
