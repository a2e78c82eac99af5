"""Rules that change in a fold: the same bytes for every way of cutting the log, and after every
restart; what becomes of partial matches; shadows and pauses."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from engine_cases import BASE_MS, POLICIES, RULES, Found, events, fold_all, json_of, records
from hypothesis import given, settings
from hypothesis import strategies as st

import cep
from cep.deployment.base import Mode
from cep.deployment.running import Leaving, Running, Saved
from cep.deployment.switch import Policy, switched
from cep.fold import Fold
from cep.ports import ActivationRow, Records

Activation = tuple[int, Running, Policy]


@dataclass(slots=True)
class History:
    """A partition without store and engine: what those do, as plainly as can be."""

    lines: Sequence[bytes]
    activations: Sequence[Activation]
    found: Found = field(default_factory=Found)
    pages: dict[str, bytes] = field(default_factory=dict)
    rows: list[ActivationRow] = field(default_factory=list)

    def run(self, cuts: Sequence[int] = (), restarts: Sequence[int] = ()) -> History:
        (_, first, _), *rest = self.activations
        fold = Fold(first, "p")
        fold.adopt(fold.running.saved.page())
        stops = {position for position, _, _ in rest} | {
            cut % (len(self.lines) + 1) for cut in cuts
        }
        restarts = [place % (len(self.lines) + 1) for place in restarts]
        for stop in sorted(stops | {*restarts} | {len(self.lines)}):
            if stop > fold.position:
                self.found.add(fold.step(records(self.lines, fold.position, stop)))
            if stop in restarts:
                fold = self._restarted(fold)
            for position, to, policy in rest:
                if position == stop:
                    done = switched(fold, self.pages, to, policy, self._read)
                    fold = done.fold
                    self.rows.append(done.activation)
            if stop in restarts:
                fold = self._restarted(fold)
        self.found.add(fold.finish())
        self.fold = fold
        return self

    fold: Fold = field(init=False)

    def _restarted(self, fold: Fold) -> Fold:
        changed = self.pages | fold.changed_pages()
        self.pages = {name: data for name, data in changed.items() if data}
        running = _running(Saved.of(self.pages), self.activations)
        again = Fold(running, "p", fold.checkpoint(), self.pages)
        again.replay(self._read)
        return again

    def _read(self, first: int, count: int) -> Records:
        return records(self.lines, first, min(first + count, len(self.lines)))


def _running(saved: Saved, activations: Sequence[Activation]) -> Running:
    by_number = {running.deployment: running for _, running, _ in activations}
    leaving = {
        left.alias: Leaving(
            left,
            next(r for r in by_number[left.deployment].rules.rules if r.name == left.rule),
        )
        for left in saved.leaving
    }
    now = by_number[saved.deployment]
    return Running(now.rules, now.modes, leaving, now.deployment)


def running(number: int, text: str, **modes: Mode) -> Running:
    return Running(cep.compile(text), modes, deployment=number)


STEEPER = RULES.replace("10 * last", "40 * last").replace("within 20s", "within 30s")
LOUDER = RULES.replace("severity low", "severity critical")
VARIANTS: Sequence[tuple[str, Mapping[str, Mode]]] = (
    (RULES, {}),
    (STEEPER, {}),
    (LOUDER, {"hop": Mode.SHADOW}),
    (RULES, {"escalation": Mode.PAUSED}),
    (POLICIES, {}),
    (STEEPER + POLICIES.partition("} lateness 10s\nevent Block")[2].partition("\n\n")[2], {}),
)
COMPILED = [cep.compile(text) for text, _ in VARIANTS]


def test_a_fold_that_never_changes_its_rules_is_as_it_was() -> None:
    lines = events(200, 3)
    whole, fold = fold_all(cep.compile(RULES), lines)
    history = History(lines, [(0, running(1, RULES), Policy.DRAIN)]).run([50], [100])
    assert history.found == whole
    assert history.fold.counters == fold.counters


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 120),
    changes=st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, len(VARIANTS) - 1), st.sampled_from(Policy)),
        min_size=1,
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 120), max_size=10),
    restarts=st.lists(st.integers(0, 120), max_size=4),
)
def test_activations_at_positions_give_identical_bytes(
    seed: int,
    count: int,
    changes: list[tuple[int, int, Policy]],
    cuts: list[int],
    restarts: list[int],
) -> None:
    lines = events(count, seed)
    activations = [(0, Running(COMPILED[0], deployment=1), Policy.DRAIN)] + [
        (place, Running(COMPILED[variant], VARIANTS[variant][1], deployment=number), policy)
        for number, (place, variant, policy) in enumerate(
            sorted((change[0] % (count + 1), *change[1:]) for change in changes), 2
        )
    ]
    whole = History(lines, activations).run()
    single = History(lines, activations).run(range(count))
    other = History(lines, activations).run(cuts, restarts)
    assert single.found == whole.found
    assert other.found == whole.found
    assert single.fold.counters == whole.fold.counters
    assert _but_expired(other.fold) == _but_expired(whole.fold)


def _but_expired(fold: Fold) -> dict[str, int]:
    """A restart may let a rule that goes count starts as expired that another run has dropped."""
    return {name: count for name, count in fold.counters.items() if name != "expired"}


# ------------------------------------------------------------------------ what becomes of matches

TWO = """
event Pay { ts: timestamp @time  card: string  amount: int }
rule two { by card match a: Pay[amount < 5] -> b: Pay[amount > 100] within 1m %s alert "%s" }
rule other { by card match Pay[amount == 7] alert "seven" }
"""


def pay(at_s: float, amount: int, card: str = "c") -> bytes:
    ts = BASE_MS + int(at_s * 1000)
    return f'{{"type":"Pay","ts":{ts},"card":"{card}","amount":{amount}}}'.encode()


def two(number: int, text: str = "old", bound: str = "100", **modes: Mode) -> Running:
    return running(number, (TWO % ("", text)).replace("> 100", f"> {bound}"), **modes)


def messages(history: History) -> list[str]:
    return [str(body["message"]) for body in json_of(history.found.bodies)]


def history(lines: Sequence[bytes], *activations: Activation) -> History:
    return History(lines, activations).run()


def test_partial_matches_stay_when_the_pattern_does() -> None:
    lines = [pay(0, 1), pay(1, 200)]
    changed = history(lines, (0, two(1), Policy.DRAIN), (1, two(2, "new"), Policy.DROP))
    assert messages(changed) == ["new"]


@pytest.mark.parametrize("policy", Policy)
def test_what_had_begun_goes_on_or_is_dropped_as_declared(policy: Policy) -> None:
    lines = [pay(0, 1), pay(1, 150), pay(2, 1), pay(3, 150), pay(4, 900)]
    changed = history(lines, (0, two(1), policy), (1, two(2, "new", "500"), policy))
    assert messages(changed) == (["old", "new"] if policy is Policy.DRAIN else ["new"])
    (row,) = changed.rows
    assert (row.leaving, row.dropped) == ((1, 0) if policy is Policy.DRAIN else (0, 1))


def test_what_goes_on_ends_when_its_span_is_over() -> None:
    lines = [pay(0, 1), pay(61, 1, "d"), pay(62, 150), pay(63, 150, "d")]
    changed = history(lines, (0, two(1), Policy.DRAIN), (1, two(2, "new", "500"), Policy.DRAIN))
    assert messages(changed) == []
    again = [(0, two(1), Policy.DRAIN), (1, two(2, "new", "500"), Policy.DRAIN)]
    third = history(lines, *again, (3, two(3, "third", "600"), Policy.DRAIN))
    assert set(third.fold.running.leaving) == {"two~2"}


def test_what_goes_on_ends_when_an_event_it_reads_is_declared_otherwise() -> None:
    lines = [pay(0, 1), pay(1, 150)]
    other = (TWO % ("", "third")).replace("amount: int", "amount: int  more: string?")
    fold = Fold(two(1), "p")
    fold.step(records(lines, 0, 1))

    def read(first: int, count: int) -> Records:
        return records(lines, first, first + count)

    second = switched(fold, {}, two(2, "new", "500"), Policy.DRAIN, read).fold
    pages = {name: data for name, data in second.changed_pages().items() if data}
    third = switched(second, pages, running(3, other), Policy.DRAIN, read)
    assert (third.fold.running.leaving, third.activation.dropped) == ({}, 1)
    assert "an event it reads is declared otherwise now" in third.notices[-1]
    assert not third.fold.step(records(lines, 1, 2)).detections


def test_a_rolled_back_rule_and_the_version_in_between_each_have_what_they_began() -> None:
    lines = [
        pay(0, 1),
        pay(1, 1, "d"),
        pay(2, 1, "e"),
        pay(3, 150),
        pay(4, 150, "e"),
        pay(5, 900, "d"),
    ]
    changed = history(
        lines,
        (0, two(1), Policy.DRAIN),
        (1, two(2, "new", "500"), Policy.DRAIN),
        (2, two(3), Policy.DRAIN),
    )
    assert messages(changed) == ["old", "old", "new"]
    ids = [body["id"] for body in json_of(changed.found.bodies)]
    assert len(set(ids)) == 3


def test_events_that_wait_for_time_are_the_new_versions() -> None:
    """An event is seen by one version as a beginning, wherever the rules changed meanwhile."""
    text = (TWO % ("", "%s")).replace("amount: int }", "amount: int } lateness 10s")
    old, new = (
        Running(cep.compile((text % name).replace("> 100", f"> {bound}")), deployment=number)
        for number, name, bound in ((1, "old", "100"), (2, "new", "101"))
    )
    lines = [pay(0, 1), pay(20, 1, "d"), pay(21, 150), pay(22, 150, "d"), pay(60, 3)]
    changed = history(lines, (0, old, Policy.DRAIN), (2, new, Policy.DRAIN))
    assert messages(changed) == ["old", "new"]


def test_windows_and_silences_are_dropped_with_the_reason() -> None:
    text = (
        "event Pay { ts: timestamp @time  card: string  amount: int }\n"
        'rule w { by card over Pay window sliding %s when count() >= 2 alert "w" }\n'
        'rule s { by card match not Pay for %s alert "s" }\n'
    )
    lines = [pay(0, 1), pay(1, 1), pay(2, 1)]
    fold = Fold(running(1, text % ("1m", "1m")), "p")
    fold.step(records(lines, 0, 2))
    done = switched(
        fold, {}, running(2, text % ("2m", "2m")), Policy.DRAIN, lambda first, count: None
    )
    assert [notice.partition(": ")[2] for notice in done.notices] == [
        "its partial matches are dropped (no event begins what it waits for)"
    ] * 2


# ------------------------------------------------------------------------------ shadows and pauses


def test_a_shadow_detects_marks_and_tells_nobody() -> None:
    lines = [pay(0, 1), pay(1, 200), pay(2, 1), pay(3, 200)]
    changed = history(
        lines,
        (0, two(1, two=Mode.SHADOW), Policy.DRAIN),
        (3, two(2), Policy.DRAIN),
    )
    bodies = json_of(changed.found.bodies)
    assert [body.get("shadow", False) for body in bodies] == [True, False]
    assert changed.fold.counters["shadowed"] == 1
    assert changed.fold.counters["detections"] == 2


def test_nobody_is_told_of_a_shadow() -> None:
    fold = Fold(two(1, two=Mode.SHADOW), "p")
    outcome = fold.step(records([pay(0, 1), pay(1, 200)], 0, 2))
    (row,) = [found.row() for found in outcome.detections]
    assert (row.shadow, row.destinations) == (True, ())


def test_what_only_a_shadow_showed_hides_nothing() -> None:
    text = TWO % ("suppress by card for 1h", "x")
    lines = [pay(0, 1), pay(1, 200), pay(2, 1), pay(3, 200), pay(4, 1), pay(5, 200)]
    shadow, live = running(1, text, two=Mode.SHADOW), running(2, text)
    changed = history(lines, (0, shadow, Policy.DRAIN), (2, live, Policy.DRAIN))
    hidden = [(b.get("shadow", False), "suppressed_by" in b) for b in json_of(changed.found.bodies)]
    assert hidden == [(True, False), (False, False), (False, True)]


def test_a_shadow_emits_nothing() -> None:
    text = """
    event Pay { ts: timestamp @time  card: string  amount: int }
    event Risk { card: string  score: int }
    rule large { by card match a: Pay[amount > 100] alert "large" emit Risk {card, score: 1} }
    rule risky { by card match Risk alert "risky" }
    """
    lines = [pay(0, 200), pay(1, 300)]
    changed = history(
        lines,
        (0, running(1, text, large=Mode.SHADOW), Policy.DRAIN),
        (1, running(2, text), Policy.DRAIN),
    )
    assert messages(changed) == ["large", "large", "risky"]


def test_a_paused_rule_sees_nothing_and_begins_anew_when_resumed() -> None:
    lines = [pay(0, 1), pay(1, 150), pay(2, 1), pay(3, 150), pay(4, 1), pay(5, 7), pay(6, 150)]
    changed = history(
        lines,
        (0, two(1), Policy.DROP),
        (1, two(2, two=Mode.PAUSED), Policy.DROP),
        (4, two(3), Policy.DROP),
    )
    assert messages(changed) == ["seven", "old"]
    assert [row.dropped for row in changed.rows] == [1, 0]


def test_a_paused_rule_may_finish_what_it_began() -> None:
    lines = [pay(0, 1), pay(1, 150), pay(2, 1), pay(3, 150)]
    changed = history(lines, (0, two(1), Policy.DRAIN), (1, two(2, two=Mode.PAUSED), Policy.DRAIN))
    assert messages(changed) == ["old"]


def test_what_suppression_remembers_outlasts_a_pause() -> None:
    text = TWO % ("suppress by card for 1h", "x")
    lines = [pay(0, 1), pay(1, 200), pay(2, 1), pay(3, 1), pay(4, 200)]
    changed = history(
        lines,
        (0, running(1, text), Policy.DRAIN),
        (2, running(2, text, two=Mode.PAUSED), Policy.DRAIN),
        (3, running(3, text), Policy.DRAIN),
    )
    assert ["suppressed_by" in body for body in json_of(changed.found.bodies)] == [False, True]


def test_a_change_that_cannot_be_made_leaves_the_fold_as_it_is() -> None:
    lines = events(120, 7)
    whole, one = fold_all(cep.compile(RULES), lines)
    fold, found = Fold(running(1, RULES), "p"), Found()
    found.add(fold.step(records(lines, 0, 60)))

    def gone(first: int, count: int) -> Records | None:
        return None

    with pytest.raises(cep.errors.SourceError):
        switched(fold, {}, running(2, STEEPER), Policy.DRAIN, gone)
    pages = {name: data for name, data in fold.changed_pages().items() if data}
    again = Fold(running(1, RULES), "p", fold.checkpoint(), pages)
    again.replay(lambda first, count: records(lines, first, min(first + count, 120)))
    found.add(again.step(records(lines, 60, 120)))
    found.add(again.finish())
    assert found == whole
    assert again.counters == one.counters


def test_many_changes_in_any_order_keep_the_counters_in_balance() -> None:
    rng, lines = random.Random(5), events(300, 5)
    activations = [(0, Running(COMPILED[0], deployment=1), Policy.DRAIN)] + [
        (place, Running(COMPILED[v], VARIANTS[v][1], deployment=number), rng.choice([*Policy]))
        for number, place in enumerate(range(20, 300, 20), 2)
        for v in [rng.randrange(len(VARIANTS))]
    ]
    count = History(lines, activations).run().fold.counters
    parts = ("processed", "late", "dead_lettered", "quarantined", "ignored")
    assert sum(count[part] for part in parts) == count["received"]
