"""The benchmarks measure what they say: the same stream both ways, seeded, with what is planted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cep
from bench import frames, rulebook, streams, workload
from bench.columns import batches
from dsl.model import Kind
from matcher.batch import NULL, Batch
from matcher.decode import Decoder
from matcher.schema import Schema
from matcher.strings import Strings

ROOT = Path(__file__).parents[2]
PLANTED = ("P1", "P2", "P3", "P4")


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


@pytest.mark.parametrize("name", PLANTED)
def test_planted_instances_are_found(name: str) -> None:
    stream = workload.generate(20_000)
    planted = 20_000 // 200
    found = list(cep.detect(rulebook.text(name), workload.ndjson(stream)))
    users = {detection.key["user"] for detection in found}
    assert len(users & {f"u{workload.USERS + i:06d}" for i in range(4 * planted)}) >= planted


@pytest.mark.parametrize("name", rulebook.MANY)
def test_many_rules_are_as_many_as_their_name_says(name: str) -> None:
    assert rulebook.text(name).count("\nrule ") == int(name[1:])


def test_rows_of_a_frame_are_the_lines_of_the_stream(tmp_path: Path) -> None:
    rules = rulebook.rules("R100")
    stream = workload.generate(3_000)
    table = frames.table(stream)
    lines = [found.id for found in cep.detect(rules, workload.ndjson(stream))]
    assert len(lines) > 0
    assert [found.id for found in cep.detect(rules, table)] == lines
    pq.write_table(table, tmp_path / "rows.parquet")
    [again] = frames.tables_of(tmp_path / "rows.parquet")
    assert again.cast(table.schema).equals(table)
    assert again.schema.field("country").type == pa.dictionary(pa.int32(), pa.string())
    assert [found.id for found in cep.detect(rules, again)] == lines


def test_rules_of_growing_state_match_nothing() -> None:
    rules = rulebook.rules(rulebook.STATE)
    assert list(cep.detect(rules, workload.ndjson(workload.generate(3_000)))) == []


def bench(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, "--runs", "1"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def test_benchmark_prints_one_json_object() -> None:
    measured = bench("--events", "4000", "--only", "P1")["workloads"]["P1"]
    assert measured["equal_to_reference"]["matches"] > 0
    assert measured["matcher_on_columns"]["events_per_second"] > 0
    assert measured["ndjson_to_detections"]["events_per_second"] > 0


def test_stream_of_redis_gives_what_the_file_gives() -> None:
    if not streams.available():
        pytest.skip("Redis is not installed")
    lines = workload.cached_ndjson(4_000, 4_000).read_bytes()
    detections = sum(1 for _ in cep.detect(rulebook.rules("R100"), lines))
    for measured in (streams.redis_to_detections, streams.redis_batches_to_detections):
        found = measured("R100", 4_000, 4_000, 1)
        assert found["detections"] == detections > 0
        assert found["log_alone_events_per_second"] != 0


def test_figures_of_the_engine_are_measured_at_any_size() -> None:
    figures = ("stages", "checkpoint", "latency", "memory", "workers")
    measured = bench("--events", "20000", "--only", ",".join(figures))
    assert sum(measured["stages"]["R10"]["share"].values()) == pytest.approx(1, abs=0.01)
    assert all(size["state_bytes"] > 900_000 for size in measured["checkpoint"].values())
    assert measured["latency"]["R100"]["detections"] > 0
    assert measured["memory"]["10,000 keys"]["live"] == 10_000
    assert measured["workers"]["R10"]["detections"] > 0
