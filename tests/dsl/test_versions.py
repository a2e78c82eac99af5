"""Rule versions: the same for the same meaning, and as narrow as what they stand for."""

from __future__ import annotations

import pytest

from dsl import compile_text
from dsl.format import format_text

TEXT = """event A { ts: timestamp @time  user: string  x: int  y: int }
event B { ts: timestamp @time  user: string }
filter big = A[x > 5]
rule r "title" {
  severity high
  by user
  match a: big -> b: B
  within 5m
  suppress for 1h
  alert "{user} {a.x}"
}
"""


def versions(text: str) -> tuple[str, str]:
    (rule,) = compile_text(text).rules
    return rule.version, rule.pattern_version


def test_versions_are_sixteen_hex_digits() -> None:
    for version in versions(TEXT):
        assert len(version) == 16
        assert set(version) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\n\n  // comment\n"),
        format_text(TEXT),
        TEXT.replace("match a: big", "match a: A[(x) > 5]"),
        TEXT.replace("y: int", "y: string"),
        TEXT.replace("y: int }", "y: int  added: string? } lateness 5m"),
        TEXT.replace("5m", "300s"),
        TEXT + "\nrule s { match B alert 'other' }"[:0],
    ],
)
def test_what_changes_no_meaning_changes_no_version(text: str) -> None:
    assert versions(text) == versions(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"title"', '"other"'),
        ("severity high", "severity low"),
        ("{user} {a.x}", "{user}: {a.x}"),
        ("{user} {a.x}", "{user} {a.y}"),
        ("for 1h", "for 2h"),
        ('alert "', 'notify "mail" alert "'),
    ],
)
def test_what_is_said_changes_the_version_and_keeps_partial_matches(old: str, new: str) -> None:
    assert old in TEXT
    version, pattern_version = versions(TEXT.replace(old, new))
    assert version != versions(TEXT)[0]
    assert pattern_version == versions(TEXT)[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x > 5", "x > 6"),
        ("a: big -> b: B", "a: big => b: B"),
        ("within 5m", "within 6m"),
        ("by user", "by user as who"),
        ("x: int", "x: decimal"),
        ("x: int", 'x: int @path("z")'),
        ("event B {", 'event B "other" {'),
        ("within 5m", "within 5m where a.x > 7"),
        ("within 5m", "within 5m after match no skip"),
        ("within 5m", "within 5m after match skip to last b"),
        ("within 5m", "within 5m runs latest"),
        ("within 5m", "within 5m fire once"),
        ("within 5m", "within 5m limit 7 runs"),
        ("within 5m", "within 5m cancel on A[x > 9]"),
        ("within 5m", "within 5m resolve on A[x > 9]"),
    ],
)
def test_what_is_detected_changes_both(old: str, new: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new).replace("{user} {a.x}", "{a.x}")
    base = TEXT.replace("{user} {a.x}", "{a.x}")
    assert versions(text)[0] != versions(base)[0]
    assert versions(text)[1] != versions(base)[1]


def test_options_left_at_their_defaults_change_nothing() -> None:
    written = "within 5m after match skip past last matches best runs all fire first"
    assert versions(TEXT.replace("within 5m", written)) == versions(TEXT)


TEMPLATE = """
template two(low: int = 5, span: duration = 1h, level: string = "high") {
  severity level
  by user
  match a: A[x > low] -> b: B
  within 5m
  suppress for span
  alert "{user} {a.x}"
}
"""


def test_an_instance_has_the_versions_of_the_rule_written_out() -> None:
    event_types = TEXT[: TEXT.index("filter")]
    written = TEXT.replace(' "title"', "").replace("big ->", "A[x > 5] ->")
    assert versions(event_types + TEMPLATE + "rule r = two()") == versions(written)


def test_the_table_that_keys_come_from_is_part_of_the_pattern() -> None:
    text = """
event Beat { ts: timestamp @time  host: string }
table one { host: string @pk }
table two { host: string @pk  owner: string }
rule r { by host match not Beat for 5m alert "{host}" }
"""
    found = {versions(text.replace("by host", f"by host{of}")) for of in ("", " in one", " in two")}
    assert len({pattern for _, pattern in found}) == 3
    wider = text.replace("host: string @pk }", "host: string @pk  tier: int }")
    assert versions(wider.replace("by host", "by host in one")) in found


COUNTS = """
template some(needed: int, most: int, rank: int) {
  priority rank
  by user
  match needed of (a: A, b: B, c: A[x > 1])
  within 5m
  limit most runs
  alert "{user}"
}
"""


def test_counts_of_a_template_are_those_written_out() -> None:
    event_types = TEXT[: TEXT.index("filter")]
    made = versions(f"{event_types}{COUNTS}rule r = some(needed = 2, most = 5, rank = 7)")
    body = COUNTS[COUNTS.index("{") :].replace("needed", "2").replace("most", "5")
    assert made == versions(f"{event_types}rule r {body.replace('rank', '7')}")
    other = versions(f"{event_types}{COUNTS}rule r = some(needed = 2, most = 5, rank = 8)")
    assert (other[0] != made[0], other[1] == made[1]) == (True, True)


def test_a_parameter_that_no_step_uses_keeps_partial_matches() -> None:
    event_types = TEXT[: TEXT.index("filter")]
    base = versions(event_types + TEMPLATE + "rule r = two()")
    for arguments in ("span = 2h", 'level = "low"'):
        version, pattern_version = versions(f"{event_types}{TEMPLATE}rule r = two({arguments})")
        assert version != base[0]
        assert pattern_version == base[1]
    assert versions(f"{event_types}{TEMPLATE}rule r = two(low = 6)")[1] != base[1]


def test_an_extended_event_reads_like_one_written_out() -> None:
    text = TEXT.replace("event B {", "event Root {", 1) + "event B extends Root { more: int }"
    assert versions(text) == versions(TEXT)
