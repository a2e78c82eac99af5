"""Every bound on one event, with its unit."""

from __future__ import annotations

from dsl.limits import RUNS_MAX

EVENT_BYTES_MAX = 1024 * 1024
"""Bytes of one event's JSON, without the line end."""

EVENT_DEPTH_MAX = 128
"""Brackets open at one place of an event."""

DEAD_LETTER_RAW_BYTES = 4096
"""Bytes kept of an event that could not be used."""

TIMESTAMP_MS_MIN = -62_135_596_800_000
"""0001-01-01T00:00:00Z in ms since the epoch."""

TIMESTAMP_MS_MAX = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in ms since the epoch."""

DECIMAL_SCALED_MAX = 2**53
"""A decimal scaled to an integer stays below this, so its float is exact."""

INT_MAX = 2**63 - 1
"""Largest int; the least is -INT_MAX, as the one below it stands for null."""

RUNS_PER_KEY_MAX = RUNS_MAX
"""Partial matches of one rule and key; starts and forks beyond are refused and counted."""

RUNS_PER_RULE_MAX = 4_000_000
"""Partial matches of one rule, of all keys: with more, it gets no further ones until it has fewer.
About a gigabyte.  Of pairs, the starts in the window."""

OPEN_KEYS_MAX = 4_000_000
"""Keys that one rule remembers because of `fire once` or `resolve on`; the oldest are forgotten."""

KNOWN_KEYS_MAX = 4_000_000
"""Keys that a rule with a silence knows; those silent for longest are forgotten."""

CENSUS_ROWS = 8192
"""The last three are looked at after so many events of the stream: always after the same ones."""

TEXT_CHARS_MAX = 64 * 1024
"""Characters of a text that an expression makes (`concat`, `replace`, `join`); longer is null."""

DERIVED_PER_RECORD_MAX = 1_000
"""Events derived from one record (or deadline), be it through others; more are refused and counted:
rules that emit much, one behind the other, would multiply it without end."""
