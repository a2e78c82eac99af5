"""Settles the texts the scanner has not seen before: decodes them and asks for their codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from matcher.limits import EVENT_BYTES_MAX
from matcher.scan_plan import Plan
from matcher.strings import NULL, Strings
from matcher.text_cache import CODE, REFUSED, TextCache, grown, has_room, new_cache
from matcher.text_functions import canonical_ip, is_plain_ipv4

TEXT, IP = range(2)  # domains; those of enums follow


class Codes:
    """The text cache of one decoder; `enums[d]` are the allowed values of domain d + 2."""

    def __init__(self, strings: Strings, enums: Sequence[tuple[str, ...]]) -> None:
        self._strings = strings
        self._generation = strings.generation
        self._cache = new_cache()
        enum_codes = [{value: strings.code(value) for value in values} for values in enums]
        self._code_in: list[Callable[[str], int]] = [
            self._code_of_text,
            self._code_of_ip,
            *(lambda text, codes=codes: codes.get(text, REFUSED) for codes in enum_codes),
        ]

    def cache(self, texts: int) -> TextCache:
        """The cache, with room for a line of `texts` texts."""
        if self._generation != self._strings.generation:
            self._cache = new_cache()
            self._generation = self._strings.generation
        cache = self._cache
        if not has_room(cache, texts, EVENT_BYTES_MAX):
            self._cache = grown(cache, texts, EVENT_BYTES_MAX)
        return self._cache

    def settle(
        self,
        data: bytes,
        columns: NDArray[np.int64],
        plan: Plan,
        rows: slice,
        wrong: NDArray[np.bool_],
    ) -> None:
        """Gives the pending texts their codes, in the cache and in the rows just scanned.

        Rows with a text that is refused are marked in `wrong`.
        """
        cache = self._cache
        pending = cache.pending[: cache.used[2]]
        if not len(pending):
            return
        cache.used[2] = 0
        codes = self._codes_of(data, pending)
        cache.slots[pending[:, 0], CODE] = codes.view(np.uint64)
        for column in np.flatnonzero(plan.column_is_text):
            values = columns[column, rows]
            provisional = np.flatnonzero((values < REFUSED) & (values != NULL))
            values[provisional] = codes[-2 - values[provisional]]
            wrong[rows] |= values == REFUSED

    def _codes_of(self, data: bytes, pending: NDArray[np.int64]) -> NDArray[np.int64]:
        """The codes of the pending texts; plain ones, which most are, all at once."""
        domains, starts, ends = pending[:, 1], pending[:, 2].tolist(), pending[:, 3].tolist()
        first = min(starts)
        region = data[first : max(ends)]
        if not region.isascii() or b"\\" in region:
            raw = (data[start:end] for start, end in zip(starts, ends, strict=True))
            return np.array(list(map(self._code, raw, domains.tolist())), np.int64)
        whole = region.decode("ascii")
        texts = [
            whole[start - first : end - first] for start, end in zip(starts, ends, strict=True)
        ]
        codes = np.empty(len(texts), np.int64)
        for domain in np.unique(domains).tolist():
            of_domain = np.flatnonzero(domains == domain)
            members = [texts[place] for place in of_domain.tolist()]
            if domain == TEXT or (domain == IP and all(map(is_plain_ipv4, members))):
                codes[of_domain] = self._strings.codes(members)
            else:
                codes[of_domain] = list(map(self._code_in[domain], members))
        return codes

    def _code(self, raw: bytes, domain: int) -> int:
        """The code of a text by what stands between its quotes."""
        text = json.loads(b'"' + raw + b'"') if b"\\" in raw else raw.decode("utf-8")
        return self._code_in[domain](text)

    def _code_of_text(self, text: str) -> int:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair
            return REFUSED
        return self._strings.code(text)

    def _code_of_ip(self, text: str) -> int:
        canonical = canonical_ip(text)
        return REFUSED if canonical is None else self._strings.code(canonical)
