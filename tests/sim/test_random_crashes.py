"""Several crashes in one run, at random: in the engine or the dispatcher, or while recovering.

Order of turns, sizes of batches, intervals of commits and the time a process is down are random as
well.  CEP_SEEDS is the number of schedules (`make sim`), CEP_FIRST_SEED the first one.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from functools import cache

import pytest
from sim_scenarios import SCENARIOS, Scenario
from simulation import Outcome, complaints_about, run

SEEDS = int(os.environ.get("CEP_SEEDS", "40"))
FIRST_SEED = int(os.environ.get("CEP_FIRST_SEED", "0"))
CRASHES_MAX = 6


@cache
def undisturbed(name: str) -> Outcome:
    return run(SCENARIOS[name])


def schedule(seed: int) -> tuple[str, Scenario, list[int], int]:
    rng = random.Random(seed)
    name = rng.choice(list(SCENARIOS))
    scenario = replace(
        SCENARIOS[name],
        batch_records=rng.choice((1, 2, 5, 100)),
        commit_interval_ms=rng.choice((0, 10, 1_000)),
    )
    most = max(effects.places for effects in undisturbed(name).effects)
    crashes = [rng.randrange(rng.choice((150, most))) for _ in range(rng.randint(1, CRASHES_MAX))]
    return name, scenario, crashes, rng.choice((0, 100, 60_000, 86_400_000))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_random_crashes_leave_what_an_undisturbed_run_does(seed: int) -> None:
    name, scenario, crashes, down_ms = schedule(seed)
    found = run(scenario, seed=seed, crashes=crashes, down_ms=down_ms)
    said = complaints_about(found, undisturbed(name))
    assert said == [], f"{name}: crashes at {crashes}"
