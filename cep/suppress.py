"""`suppress by … for …`: which detection hides which; part of the fold's state.

A detection is hidden when another one of the same rule with the same values was shown at most
`for_ms` earlier (inclusive, in event time).  The hidden one is recorded with the id of the one that
hid it; it does not extend the time.  What was shown hides for as long as the rule said then, so a
changed `for` counts from the next one shown, however often the state was written in between.

What a rule detects in shadow, and what it tells people of, do not hide one another; what was only
detected in shadow is forgotten when the rule is in shadow no longer.

State is kept in pages by a hash of the values, so a commit writes what changed and little else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b

import orjson

from cep import limits
from dsl.model import Rule

PAGE_PREFIX = "suppress/"
_SHADOW = "shadow-"


class Suppression:
    """Of all rules of one partition; of several of one name the last one counts."""

    def __init__(self, rules: Iterable[Rule], shadows: Collection[str] = ()) -> None:
        self._for_ms = {rule.name: rule.suppress.for_ms for rule in rules if rule.suppress}
        self._shadows = shadows
        # page name → values → (until when it hides, id)
        self._pages: dict[str, dict[str, tuple[int, str]]] = {}
        self._changed: set[str] = set()
        self._sweep_ms = limits.BEGINNING_OF_TIME_MS  # when all pages are looked through again

    def hidden_by(
        self, rule: str, values: tuple[object, ...], at_ms: int, id: str, in_shadow: bool = False
    ) -> str | None:
        """The id of the detection that hides this one; if none, this one is shown from now on."""
        text = orjson.dumps(values).decode()
        name = _page_name(rule, text, _SHADOW if in_shadow else "")
        page = self._pages.setdefault(name, {})
        shown = page.get(text)
        if shown is not None and shown[1] != id and at_ms <= shown[0]:
            return shown[1]
        page[text] = (at_ms + self._for_ms[rule], id)
        self._changed.add(name)
        return None

    def changed_pages(self, watermark_ms: int) -> dict[str, bytes]:
        """Pages to write, without what can hide nothing any more; b"": the page is gone."""
        sweep = watermark_ms >= self._sweep_ms and bool(self._pages)
        if sweep:
            self._sweep_ms = watermark_ms + min(self._for_ms.values())
        changed: dict[str, bytes] = {}
        for name in sorted(self._pages if sweep else self._changed):
            page = self._pages[name]
            kept = {k: v for k, v in page.items() if v[0] >= watermark_ms}
            if name in self._changed or len(kept) < len(page):
                changed[name] = orjson.dumps(kept) if kept else b""
            if kept:
                self._pages[name] = kept
            else:
                del self._pages[name]
        self._changed.clear()
        return changed

    def restore(self, pages: Mapping[str, bytes]) -> list[str]:
        """Takes pages back; names of those whose rule suppresses no longer."""
        gone = []
        for name, data in pages.items():
            rule, _, bucket = name.removeprefix(PAGE_PREFIX).partition("/")
            stays = rule in self._shadows or not bucket.startswith(_SHADOW)
            if rule in self._for_ms and stays:
                entries: dict[str, list[object]] = orjson.loads(data)
                self._pages[name] = {k: (int(str(v[0])), str(v[1])) for k, v in entries.items()}
            else:
                gone.append(name)
        return gone


def _page_name(rule: str, values: str, sort: str) -> str:
    bucket = blake2b(values.encode(), digest_size=2).digest()
    return f"{PAGE_PREFIX}{rule}/{sort}{int.from_bytes(bucket) % limits.SUPPRESS_PAGES:02d}"
