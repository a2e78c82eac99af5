"""A crash at any effect of any scenario changes nothing that is promised.

Between two effects that last (a commit, a message, an answer to a client) all crashes leave the
same but for the time of day, so one of them stands for all.  CEP_EVERY_PLACE=1 (`make sim`) makes
no use of that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from sim_scenarios import SCENARIOS, Scenario
from simulation import complaints_about, run
from sqlalchemy import Engine, delete

from alerts import claim
from alerts.deliveries import OutboxRow
from alerts.policy import Policy
from cep.ports import (
    ActivationRow,
    Checkpoint,
    DeadLetterRow,
    DetectionRow,
    LateRow,
    Lease,
    ResolutionRow,
)
from cep.store.store import SqlStore
from cep.store.tables import outbox

Rows = Sequence[OutboxRow]

EVERY_PLACE = os.environ.get("CEP_EVERY_PLACE") == "1"
SIMPLEST = SCENARIOS["a sequence with a loop"]


def complaints_of_crashes(scenario: Scenario) -> list[str]:
    calm = run(scenario)
    said = complaints_about(calm, calm)
    for lives, effects in enumerate(calm.effects):
        before = [one.places for one in calm.effects[:lives]]  # where no crash comes any more
        for place in range(effects.places) if EVERY_PLACE else sorted(effects.lasting):
            crashes = [*before, place]
            found = run(scenario, crashes=crashes)
            assert found.effects[lives].dead == (place < effects.places)
            said += [f"crashes at {crashes}: {one}" for one in complaints_about(found, calm)]
    return said


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_anywhere_leaves_what_an_undisturbed_run_does(name: str) -> None:
    assert complaints_of_crashes(SCENARIOS[name]) == []


def test_a_commit_in_two_transactions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = SqlStore.commit

    def in_two(
        store: SqlStore,
        lease: Lease,
        checkpoint: Checkpoint,
        pages: dict[str, bytes],
        detections: Sequence[DetectionRow],
        dead_letters: Sequence[DeadLetterRow],
        resolutions: Sequence[ResolutionRow],
        late: Sequence[LateRow],
        activations: Sequence[ActivationRow],
        state: Checkpoint,
    ) -> None:
        first = dead_letters, resolutions, late, activations, state
        commit(store, lease, checkpoint, pages, [], *first)
        commit(store, lease, checkpoint, {}, detections, [])

    monkeypatch.setattr(SqlStore, "commit", in_two)
    assert any("detection differs" in said for said in complaints_of_crashes(SIMPLEST))


def test_an_outbox_emptied_too_soon_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    take_in = claim._claim

    def in_two(engine: Engine, policy: Policy, now_ms: int, rows: Rows, *more: Any) -> int:
        with engine.begin() as connection:
            connection.execute(
                delete(outbox).where(outbox.c.sequence.in_([row.sequence for row in rows]))
            )
        return take_in(engine, policy, now_ms, rows, *more)

    monkeypatch.setattr(claim, "_claim", in_two)
    assert any("deliveries differ" in said for said in complaints_of_crashes(SIMPLEST))
