"""Checksums of saved state: what is read back is what was written, all of it, and nothing else.

A page has the CRC-32 of its name and data.  A checkpoint has one of its columns and the sum of the
checksums of its pages, so a page that is missing, or is one from another time, is noticed too; to
write it, only what changed is gone through.  None, in a row of a program that wrote no checksums,
fits anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

import orjson

NAMED_MAX = 3
"""So many damaged pages are told by name."""

COLUMNS = (
    "position",
    "watermark_ms",
    "counters",
    "state_position",
    "state_watermark_ms",
    "state_counters",
    "resume_position",
    "rules",
    "format",
    "source",
    "bookmark",
)
"""What a checkpoint's checksum is of, besides its pages."""


def of_page(name: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(name.encode()))


def of_checkpoint(columns: Mapping[str, object], pages: Iterable[int]) -> int:
    """`columns` as they are stored; `pages` are the checksums of all pages."""
    return zlib.crc32(orjson.dumps([[columns[name] for name in COLUMNS], sum(pages)]))


def damage(
    columns: Mapping[str, object],
    expected: int | None,
    pages: Mapping[str, int],
    pages_expected: Sequence[tuple[str, int | None]],
) -> str | None:
    """What is wrong with a checkpoint and its pages, or None; `pages` are as they are now."""
    damaged = [name for name, known in pages_expected if known not in (None, pages[name])]
    if damaged:
        more = f" and {len(damaged) - NAMED_MAX} more" if len(damaged) > NAMED_MAX else ""
        return f"pages are damaged: {', '.join(damaged[:NAMED_MAX])}{more}"
    if expected not in (None, of_checkpoint(columns, pages.values())):
        return "pages are missing, or from another time, or the checkpoint's row is damaged"
    return None
