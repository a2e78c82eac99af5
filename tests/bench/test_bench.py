"""The benchmarks measure what they say: the same stream both ways, seeded, with what is planted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cep
from bench import rulebook, workload
from bench.columns import batches
from dsl.model import Kind
from matcher.batch import NULL, Batch
from matcher.decode import Decoder
from matcher.schema import Schema
from matcher.strings import Strings

ROOT = Path(__file__).parents[2]


def test_stream_is_a_function_of_its_arguments() -> None:
    one, same, other = (workload.generate(2_000, seed) for seed in (1, 1, 2))
    assert workload.ndjson(one) == workload.ndjson(same)
    assert workload.ndjson(one) != workload.ndjson(other)


def test_stream_is_in_order_of_time_with_ties_and_of_the_size_asked_for() -> None:
    stream = workload.generate(200_000)
    gaps = np.diff(stream.ts)
    assert len(stream) == 200_000
    assert gaps.min() == 0


def test_columns_are_what_the_decoder_makes_of_the_same_rows() -> None:
    rules = cep.compile(rulebook.text("R10"))
    stream = workload.generate(3_000)
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    decoded = Decoder(schema, strings).decode(workload.ndjson(stream), 0)
    built = Batch.concat(batches(stream, schema, strings))
    assert not decoded.dead
    assert list(decoded.batch.ts) == list(built.ts)
    assert list(decoded.batch.position) == list(built.position)
    assert list(decoded.batch.event_type) == list(built.event_type)
    for index, spec in enumerate(schema.columns):
        assert values(decoded.batch, index, spec.type.kind, strings) == values(
            built, index, spec.type.kind, strings
        ), spec.path


def values(batch: Batch, index: int, kind: Kind, strings: Strings) -> list[object]:
    texts = kind in (Kind.STRING, Kind.IP, Kind.ENUM)
    return [
        strings.text(int(value)) if texts and value != NULL else int(value)
        for value in batch.columns[index]
    ]


@pytest.mark.parametrize("name", rulebook.SINGLE)
def test_planted_instances_are_found(name: str) -> None:
    stream = workload.generate(20_000)
    planted = 20_000 // 200
    found = list(cep.detect(rulebook.text(name), workload.ndjson(stream)))
    users = {detection.key["user"] for detection in found}
    assert len(users & {f"u{workload.USERS + i:06d}" for i in range(4 * planted)}) >= planted


@pytest.mark.parametrize("name", rulebook.MANY)
def test_many_rules_are_as_many_as_their_name_says(name: str) -> None:
    assert rulebook.text(name).count("\nrule ") == int(name[1:])


def test_benchmark_prints_one_json_object() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--events", "4000", "--runs", "1", "--only", "P1"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    measured = json.loads(done.stdout)["workloads"]["P1"]
    assert measured["equal_to_reference"]["matches"] > 0
    assert measured["matcher_on_columns"]["events_per_second"] > 0
    assert measured["ndjson_to_detections"]["events_per_second"] > 0
