"""Suppression as state: who hides whom, across restarts, and without a leak."""

from __future__ import annotations

from engine_cases import RULES
from hypothesis import given
from hypothesis import strategies as st

import cep
from cep import limits
from cep.suppress import Suppression

RULE_SET = cep.compile(RULES)  # `escalation` suppresses by card for 5m
FOR_MS = 300_000


def hidden(state: Suppression, at_ms: int, id: str, card: str = "c") -> str | None:
    return state.hidden_by("escalation", (card,), at_ms, id)


def test_span_is_inclusive_and_counts_from_the_last_one_shown() -> None:
    state = Suppression(RULE_SET.rules)
    assert hidden(state, 0, "a") is None
    assert hidden(state, FOR_MS, "b") == "a"
    assert hidden(state, FOR_MS + 1, "c") is None
    assert hidden(state, 2 * FOR_MS + 1, "d") == "c"


def test_values_are_apart() -> None:
    state = Suppression(RULE_SET.rules)
    assert hidden(state, 0, "a", "c1") is None
    assert hidden(state, 0, "b", "c2") is None


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 200_000), st.sampled_from("abc"), st.booleans()), max_size=30
    )
)
def test_restarts_change_nothing(steps: list[tuple[int, str, bool]]) -> None:
    whole, parts = Suppression(RULE_SET.rules), Suppression(RULE_SET.rules)
    pages: dict[str, bytes] = {}
    now_ms = 0
    for number, (wait_ms, card, restart) in enumerate(steps):
        now_ms += wait_ms
        id = f"id{number}"
        assert hidden(parts, now_ms, id, card) == hidden(whole, now_ms, id, card)
        if restart:
            pages |= parts.changed_pages(now_ms)
            pages = {name: data for name, data in pages.items() if data}
            parts = Suppression(RULE_SET.rules)
            assert parts.restore(pages) == []


def test_nothing_is_left_once_time_has_passed() -> None:
    state = Suppression(RULE_SET.rules)
    pages: dict[str, bytes] = {}
    for number in range(1000):
        hidden(state, number, f"id{number}", f"card{number}")
    pages |= state.changed_pages(1000)
    assert 0 < len(pages) <= limits.SUPPRESS_PAGES
    pages |= state.changed_pages(FOR_MS + 2000)
    assert not any(pages.values())


def test_a_changed_span_counts_from_the_next_one_shown_whenever_the_state_was_written() -> None:
    longer = cep.compile(RULES.replace("suppress by card for 5m", "suppress by card for 10m"))
    for written_ms in (1, FOR_MS, FOR_MS + 1):
        state = Suppression(RULE_SET.rules)
        hidden(state, 0, "a")
        pages = {name: data for name, data in state.changed_pages(written_ms).items() if data}
        changed = Suppression(longer.rules)
        changed.restore(pages)
        assert hidden(changed, FOR_MS + 1, "b") is None
        assert hidden(changed, 3 * FOR_MS + 1, "c") == "b"


def test_page_of_a_rule_that_no_longer_suppresses_is_given_back() -> None:
    state = Suppression(RULE_SET.rules)
    hidden(state, 0, "a")
    pages = state.changed_pages(0)
    without = Suppression(cep.compile(RULES.replace("suppress by card for 5m", "")).rules)
    assert without.restore(pages) == list(pages)
