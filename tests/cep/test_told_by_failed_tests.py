"""What a failed test says: what was expected, what happened, and how far the nearest run got."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from cep.junit import junit_xml
from cep.load import load_text
from cep.testing import run_tests

EVENTS = """
event Pay   { ts: timestamp @time  card: string  user: string  amount: decimal  shop: string }
event Login { ts: timestamp @time  card: string  ok: bool  country: string }
event Mfa   { ts: timestamp @time  card: string }
"""


def told(rule: str, test: str) -> list[str]:
    """The lines behind "no alert so far", or all of them, of the one failure."""
    text = f'{EVENTS}rule r {{ by card {rule} alert "x" }}\ntest r "t" {{ {test} }}'
    (result,) = run_tests(load_text(text))
    assert len(result.failures) == 1, result.failures
    lines = result.failures[0].text.split("\n")
    return lines[2:] if lines[1] == "no alert so far" else lines


A, B = '{card: "a"', '{card: "b"'

CASES = {
    "a condition that is false": (
        "match Login[ok] -> p: Pay[amount > 100 and shop != 'x'] within 10m",
        f"at 0s Login {A}, ok: true}} at 60s Pay {A}, amount: 90, shop: 'y'}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: Login at 0s',
            "  at 1m Pay is no p: amount > 100 is false (amount = 90)",
            "  still waiting for p",
        ],
    ),
    "a condition that is null": (
        "match Login -> p: Pay[amount > 100] within 10m",
        f"at 0s Login {A}}} at 60s Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: Login at 0s',
            "  at 1m Pay is no p: amount > 100 is null (amount = null)",
            "  still waiting for p",
        ],
    ),
    "a condition across steps": (
        "match a: Pay -> b: Pay[amount > 10 * a.amount and shop == a.shop] within 10m",
        f"at 0s Pay {A}, amount: 5, shop: 's'}} at 1s Pay {A}, amount: 49.5, shop: 's'}} "
        "expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: a at 0s',
            "  at 1s Pay is no b: amount > 10 * a.amount is false (amount = 49.5, a.amount = 5)",
            "  still waiting for b",
        ],
    ),
    "within": (
        "match Login -> Pay -> Mfa within 10m",
        f"at 0s Login {A}}} at 1m Pay {A}}} advance 20m expect 1 alert",
        [
            'nearest: card="a" reached step 2 of 3: Login at 0s, Pay at 1m',
            "  within 10m ran out at 10m, waiting for Mfa",
        ],
    ),
    "a gap": (
        "match Login -[10s..1m]-> Pay -> Mfa within 10m",
        f"at 0s Login {A}}} at 5s Pay {A}}} at 2m Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 3: Login at 0s',
            "  at 5s Pay came too soon for Pay: after 5s, allowed is 10s or more",
            "  the time to the next event ran out at 1m",
        ],
    ),
    "an absence between": (
        "match Login -> not Mfa -> Pay within 10m",
        f"at 0s Login {A}}} at 30s Mfa {A}}} at 40s Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: Login at 0s',
            "  killed by `not Mfa`: Mfa at 30s",
        ],
    ),
    "a trailing absence": (
        "match Login -> not Pay for 5m",
        f"at 0s Login {A}}} at 4m Pay {A}}} advance 9m expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 1: Login at 0s',
            "  killed by `not Pay`: Pay at 4m",
        ],
    ),
    "a trailing absence that is not over": (
        "match Login -> not Pay for 5m",
        f"at 0s Login {A}}} advance 4m expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 1: Login at 0s',
            "  the absence it waits for holds at 5m",
        ],
    ),
    "the very next event": (
        "match Login => p: Pay within 10m over Login, Pay, Mfa",
        f"at 0s Login {A}}} at 1s Mfa {A}}} at 2s Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: Login at 0s',
            "  killed by Mfa at 1s: the very next event has to fit",
        ],
    ),
    "where": (
        "match p: Pay{2,} -> Mfa within 10m where distinct(p.shop) >= 2 and sum(p.amount) > 5",
        f"at 0s Pay {A}, shop: 's', amount: 9}} at 1s Pay {A}, shop: 's', amount: 9}} "
        f"at 2s Mfa {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 2 of 2: p at 0s, 1s, Mfa at 2s',
            "  where: distinct(p.shop) >= 2 is false (distinct(p.shop) = 1)",
        ],
    ),
    "a loop that is not full": (
        "match p: Pay{5,} -> Mfa within 10m",
        f"at 0s Pay {A}}} at 1s Pay {A}}} at 2s Mfa {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: p at 0s, 1s',
            "  1 event passed over",
            "  still waiting for p, at least 4 more events",
        ],
    ),
    "a loop that was ended": (
        "match p: Pay{3,} until Login[not ok] -> Mfa within 10m",
        f"at 0s Pay {A}}} at 1s Login {A}, ok: false}} at 2s Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: p at 0s',
            "  ended by Login at 1s (until Login)",
        ],
    ),
    "alternatives": (
        "match Login -> (a: Pay[amount > 100] | b: Mfa) -> c: Login within 10m",
        f"at 0s Login {A}}} at 1s Pay {A}, amount: 7}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 3: Login at 0s',
            "  at 1s Pay is no a: amount > 100 is false (amount = 7)",
            "  still waiting for a or b, at least 2 more events",
        ],
    ),
    "any order": (
        "match (a: Pay[amount > 100] & b: Mfa & c: Login) within 10m",
        f"at 0s Mfa {A}}} at 1s Pay {A}, amount: 7}} at 2s Login {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 1: b at 0s, c at 2s',
            "  still waiting for a",
        ],
    ),
    "some of several": (
        "match 2 of (a: Pay[amount > 100], b: Mfa, c: Login[ok]) within 10m",
        f"at 0s Mfa {A}}} at 1s Pay {A}, amount: 7}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 1: b at 0s',
            "  at 1s Pay is no a: amount > 100 is false (amount = 7)",
            "  still waiting for a or c",
        ],
    ),
    "a group": (
        "match (a: Pay -> b: Mfa){2} -> c: Login within 10m",
        f"at 0s Pay {A}}} at 1s Mfa {A}}} at 2s Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: a at 0s, 2s, b at 1s',
            "  still waiting for b, at least 2 more events",
        ],
    ),
    "cancelled": (
        "match Login -> Pay within 10m cancel on Mfa",
        f"at 0s Login {A}}} at 1s Mfa {A}}} at 2s Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 1 of 2: Login at 0s',
            "  cancelled by Mfa at 1s",
        ],
    ),
    "replaced": (
        "match a: Login -> Pay -> Mfa within 10m runs latest",
        f"at 0s Login {A}}} at 1s Pay {A}}} at 2s Login {A}}} at 3s Mfa {A}}} expect 1 alert",
        [
            'nearest: card="a" reached step 2 of 3: a at 0s, Pay at 1s',
            "  1 event passed over",
            "  replaced by a later start at 2s (runs latest)",
        ],
    ),
    "nothing began": (
        "match p: Pay[amount > 100] -> Mfa within 10m",
        f"at 0s Pay {A}, amount: 3}} at 1s Mfa {A}}} expect 1 alert",
        [
            'nearest: card="a" began no match',
            "  at 0s Pay is no p: amount > 100 is false (amount = 3)",
        ],
    ),
    "no event": (
        "match Pay[amount > 100] -> Mfa within 10m",
        "expect 1 alert",
        ["nearest: no event had a key that the rule sees"],
    ),
    "another key": (
        "match Pay[amount > 100] -> Mfa within 10m",
        f"at 0s Pay {B}, amount: 3}} expect 1 alert {A}}}",
        ["nearest: no event of that key was seen"],
    ),
    "the key that is expected": (
        "match a: Login -> b: Pay -> Mfa within 10m",
        f"at 0s Login {A}}} at 0s Login {B}}} at 1s Pay {B}}} expect 1 alert {A}}}",
        [
            'nearest: card="a" reached step 1 of 3: a at 0s',
            "  still waiting for b, at least 2 more events",
        ],
    ),
    "a silence": (
        "match not Login for 5m",
        f"at 0s Login {A}}} at 4m Login {A}}} advance 4m expect 1 alert",
        [
            'nearest: card="a" was not silent',
            "  silent since 4m: 5m will be over at 9m",
        ],
    ),
    "a silence before an event": (
        "match not Login for 5m -> p: Pay within 9m",
        f"at 0s Login {A}}} at 4m Pay {A}}} expect 1 alert",
        [
            'nearest: card="a" began no match',
            "  at 4m Pay is no p: 4m of silence before it, and more than 5m needed",
            "  silent since 0s: 5m will be over at 5m",
        ],
    ),
    "a sliding window": (
        "over Pay window sliding 10m when count() >= 5 and distinct(shop) > 1",
        "".join(f"at {n}s Pay {A}, shop: 's{n}'}} " for n in range(4)) + "expect 1 alert",
        ['nearest: card="a" window at 3s with 4 events: count() >= 5 is false (count() = 4)'],
    ),
    "a window that ends": (
        "over Pay window tumbling 10m when sum(amount) > 100",
        f"at 0s Pay {A}, amount: 60}} at 1m Pay {A}, amount: 30}} at 11m Pay {A}, amount: 20}} "
        "advance 20m expect 1 alert",
        [
            'nearest: card="a" window at 10m with 2 events: '
            "sum(amount) > 100 is false (sum(amount) = 90)"
        ],
    ),
    "a window that is not over": (
        "over Pay window tumbling 10m when sum(amount) > 10",
        f"at 0s Pay {A}, amount: 60}} expect 1 alert",
        ['nearest: card="a" had no window yet that is looked at, of 1 event'],
    ),
    "an edge": (
        "over Pay window sliding 10m when count() >= 2",
        f"at 0s Pay {A}}} at 1s Pay {A}}} at 2s Pay {A}}} expect 2 alerts",
        [
            "expected 2 alerts, found 1",
            "1 alert so far:",
            '  at 1s {card: "a"} x',
            'nearest: card="a" window at 2s with 3 events: '
            "`when` was true, and `fire edge` kept it back",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_says_how_far_the_nearest_run_got(name: str) -> None:
    rule, test, lines = CASES[name]
    assert told(rule, test) == lines


def test_it_says_why_an_alert_is_not_the_one_expected() -> None:
    rule = "match a: Login{2,} -> p: Pay within 1h"
    events = f"at 0s Login {A}}} at 1s Login {A}}} at 2s Pay {A}, amount: 5}} "
    assert told(rule, f"{events} expect at 3s 1 alert")[1:4] == [
        "1 alert so far:",
        '  at 2s {card: "a"} x',
        "    not the one expected: not at 3s",
    ]
    assert told(rule, f'{events} expect 1 alert {{severity: "high"}}')[3] == (
        '    not the one expected: severity is "medium"'
    )
    assert told(rule, f"{events} expect 1 alert where count(a) == 3")[3] == (
        "    not the one expected: where: count(a) == 3 is false (count(a) = 2)"
    )


def test_nothing_is_near_when_there_are_too_many_alerts() -> None:
    assert told("match Login", f"at 0s Login {A}}} expect no alert") == [
        "expected no alert, found 1",
        "1 alert so far:",
        '  at 0s {card: "a"} x',
    ]


def test_facts_tables_and_derived_events_are_read_as_the_engine_does() -> None:
    text = (
        EVENTS
        + """
table cards { card: string @pk  owner: string }
list vips: [string] = ["b"]
feature usual = avg(Pay.amount) by card window sliding 30d
event Odd { card: string  amount: decimal }

rule odd {
  by card
  match p: Pay[amount > 2 * usual]
  alert "x"
  emit Odd { card: card, amount: p.amount }
}
rule known { by card match Odd[amount > 100 and cards[card]?.owner == "ann" and not (card in vips)]
  alert "x" }

test odd "t" {
  at 0s Pay {card: "a", amount: 10}
  at 1s Pay {card: "a", amount: 15}
  expect 1 alert
}
test known "t" {
  given cards = [{card: "a", owner: "bob"}]
  at 0s Pay {card: "a", amount: 10}
  at 1s Pay {card: "a", amount: 90}
  expect 1 alert
}
"""
    )
    odd, known = (result.failures[0].text.split("\n")[2:] for result in run_tests(load_text(text)))
    assert odd == [
        'nearest: card="a" began no match',
        "  at 0s Pay is no p: amount > 2 * usual is null (amount = 10, usual = null)",
        "  at 1s Pay is no p: amount > 2 * usual is false (amount = 15, usual = 10)",
    ]
    assert known == [
        'nearest: card="a" began no match',
        "  at 1s Odd is no Odd: amount > 100 is false (amount = 90); "
        'cards[card]?.owner == "ann" is false (cards[card]?.owner = "bob", card = "a")',
    ]


def test_a_window_that_looks_up_is_told_with_the_row_of_its_newest_event() -> None:
    text = (
        EVENTS
        + """
table caps { card: string @pk  most: decimal }
rule over_cap {
  by card
  over Pay window sliding 1h
  when sum(amount) > caps[card]?.most
  alert "x"
}
test over_cap "t" {
  given caps = [{card: "a", most: 100}]
  at 0s Pay {card: "a", amount: 60}
  given caps = [{card: "a", most: 1000}]
  at 1s Pay {card: "a", amount: 60}
  expect 1 alert
}
"""
    )
    (result,) = run_tests(load_text(text))
    assert result.failures[0].text.split("\n")[2:] == [
        'nearest: card="a" window at 0s with 1 event: sum(amount) > caps[card]?.most is false '
        "(sum(amount) = 60, caps[card]?.most = 100)"
    ]


def test_keys_of_rows_are_told_though_they_have_no_events() -> None:
    text = (
        EVENTS
        + """
table cards { card: string @pk }
rule quiet { by card in cards match not Login for 5m alert "x" }
test quiet "t" {
  given cards = [{card: "a"}, {card: "b"}]
  at 3m Login {card: "a"}
  advance 1m
  expect 1 alert {card: "b"}
  given cards = [{card: "a"}]
  advance 1h
  expect 1 alert {card: "b"}
}
"""
    )
    (result,) = run_tests(load_text(text))
    before, after = (failure.text.split("\n") for failure in result.failures)
    assert before[2:] == [
        'nearest: card="b" was not silent',
        "  silent since 0s: 5m will be over at 5m",
    ]
    assert after[3:] == [
        '    not the one expected: card is "a"',
        'nearest: card="b" was not silent',
        "  the row of the key went at 4m",
    ]


def test_the_report_for_build_servers_has_it_in_its_message() -> None:
    text = f'{EVENTS}rule r {{ match Login -> Pay within 1m alert "x" }}\n'
    test = f'test r "t" {{ at 0s Login {A}}} expect 1 alert }}'
    report = ElementTree.fromstring(junit_xml(run_tests(load_text(text + test))))
    failure = report.find(".//failure")
    assert failure is not None
    assert failure.get("message") == (
        "expected 1 alert, found 0; nearest: the rule reached step 1 of 2: Login at 0s"
    )
    assert failure.text is not None
    assert failure.text.endswith("still waiting for Pay")
