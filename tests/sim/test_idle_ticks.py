"""A crash while the log is silent: ticks that were written count, and no others.

How many ticks there are depends on when the process died, so the log that is left decides what has
to be stored; what was detected is the same anyway.
"""

from __future__ import annotations

from sim_rules import ABSENCE, SCHEMA
from sim_scenarios import Append, Scenario, Silence, line
from simulated_process import TOPIC, compiled
from simulation import Outcome, broken_promises, run

from cep.fold import Fold
from cep.ports import Records

SCENARIO = Scenario(
    "silence",
    SCHEMA + ABSENCE,
    (
        Append(
            (line("Pay", 0, card='"a"', amount=900), line("Pay", 2_000, card='"b"', amount=700))
        ),
        Silence(14_000),
        Append((line("Pay", 40_000, card='"a"', amount=3),)),
        Silence(10_000),
    ),
    idle_ms=3_000,
)


def told_by_log(found: Outcome) -> list[bytes]:
    fold, bodies = Fold(compiled(SCENARIO.rules), TOPIC), []
    for position, count, data, tick_ms in found.tables["log"]:
        outcome = fold.step(Records(position, data, count, tick_ms=tick_ms))
        bodies += [one.body for one in outcome.detections]
    return bodies


def test_a_crash_in_silence_leaves_what_the_log_says() -> None:
    calm = run(SCENARIO)
    (effects,) = calm.effects
    assert sum(row[3] is not None for row in calm.tables["log"]) > 3
    detected = [(row[3], row[6]) for row in calm.tables["detection"]]
    assert [rule for rule, _ in detected] == ["unblocked", "unblocked", "quiet"]
    for place in sorted(effects.lasting):
        found = run(SCENARIO, crashes=[place])
        assert broken_promises(found) == [], place
        assert [row[-1] for row in found.tables["detection"]] == told_by_log(found), place
        assert [(row[3], row[6]) for row in found.tables["detection"]] == detected, place
