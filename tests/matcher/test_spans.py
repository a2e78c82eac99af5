"""For how long a rule may hold an event."""

from __future__ import annotations

import pytest

from dsl import compile_text
from matcher.atoms import Atoms
from matcher.evidence import LASTING, class_of
from matcher.plan import compile_rule
from matcher.schema import Schema
from matcher.spans import span_ms
from matcher.strings import Strings

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("body", "minutes"),
    [
        ("match A -> B within 5m", 5),
        ("match A -> not B for 5m", 5),
        ("match A -[..2m]-> B -[..3m]-> A within unbounded limit 9 runs", 5),
        ("match A -[..2m]-> B -> not A for 4m", 6),
        ("match A{2,} -> B within 7m", 7),
        ("match A -> B within unbounded limit 9 runs", None),
        ("match A{2,3} -[..2m]-> B within unbounded limit 9 runs", None),
    ],
)
def test_span_is_that_of_the_longest_way_through_the_pattern(
    body: str, minutes: int | None
) -> None:
    rules = compile_text(
        "event A { ts: timestamp @time  k: string }  event B { ts: timestamp @time  k: string }"
        f'rule r {{ by k {body} alert "x" }}'
    )
    schema, strings = Schema.of(rules.events, rules.rules), Strings()
    plan = compile_rule(rules.rules[0], schema, Atoms(schema, strings), strings)
    assert span_ms(plan.tables) == (None if minutes is None else minutes * MINUTE_MS)


def test_classes_grow_by_four() -> None:
    spans = (0, 1_000, 1_001, 4_000, 4_001, None)
    assert [class_of(span) for span in spans] == [0, 0, 1, 1, 2, LASTING]
