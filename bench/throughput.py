"""Events per second of one workload, from three kinds of input to matches or detections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench import baseline, frames, rulebook, workload
from bench.columns import batches
from bench.timing import timed
from cep import limits
from cep.engine import Engine
from cep.fold import Fold, Outcome
from cep.limits import END_OF_TIME_MS
from cep.log.file import FileLog
from cep.render import Rendered
from matcher.matcher import Matcher
from matcher.schema import Schema
from matcher.strings import Strings

BASELINE_BYTES = 64 << 20  # of the stream, for the bare decoder
WARM_ROWS = 2_000


def matcher_alone(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """(a) columns in memory → matches; batches are made before the clock starts."""
    rules = rulebook.rules(name)
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    parts = batches(workload.generate(n).head(head), schema, strings)
    end = parts[0].take(np.zeros(0, np.int64))
    Matcher(rules.rules, schema, strings).advance(parts[0].take(np.arange(1)), 0)  # compiles
    capped = 0

    def once() -> int:
        nonlocal capped
        matcher = Matcher(rules.rules, schema, strings)
        found = 0
        for part in parts:
            found += len(matcher.advance(part, int(part.ts[-1])))
        found += len(matcher.advance(end, END_OF_TIME_MS))
        capped = matcher.losses["capped"]
        return found

    result = timed(once, head, runs)
    return result | {"capped": capped}


def ndjson_to_detections(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """(b) an NDJSON file in the page cache → rendered detections, through the engine."""
    rules = rulebook.rules(name)
    path = workload.cached_ndjson(n, head)

    def run(path: Path) -> int:
        found = 0

        def sink(detections: Sequence[Rendered]) -> None:
            nonlocal found
            found += _rendered(detections)

        Engine(rules, FileLog(str(path)), None, sink=sink).run()
        return found

    run(workload.cached_ndjson(WARM_ROWS, WARM_ROWS))
    result = timed(lambda: run(path), head, runs)
    bare = baseline.decoder_events_per_second(first_lines(path))
    rate = result["events_per_second"]
    assert isinstance(rate, int)
    return result | {
        "ratio_to_bare_decoder": float(f"{rate / bare:.3g}"),
        "bare_decoder_events_per_second": round(bare),
    }


def arrow_to_detections(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """(c) an Arrow table in memory → rendered detections, in the steps of `cep.detect`."""
    table = frames.table(workload.generate(n).head(head))
    return _frames_to_detections(
        name,
        lambda: [
            table.slice(row, limits.BATCH_RECORDS_MAX)
            for row in range(0, table.num_rows, limits.BATCH_RECORDS_MAX)
        ],
        head,
        runs,
    )


def parquet_to_detections(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """(d) a Parquet file in the page cache → rendered detections, one batch of rows at a time."""
    path = frames.cached_parquet(n, head)
    return _frames_to_detections(name, lambda: frames.tables_of(path), head, runs)


def _frames_to_detections(
    name: str, tables: Callable[[], Iterable[pa.Table]], head: int, runs: int
) -> dict[str, object]:
    rules = rulebook.rules(name)

    def run(tables: Iterable[pa.Table]) -> int:
        fold = Fold(rules, "events")
        found = position = 0
        for table in tables:
            decoded = fold.decoder.decode_arrow(table, position)
            found += _detected(fold.step_decoded(decoded))
            position += table.num_rows
        return found + _detected(fold.finish())

    run([frames.table(workload.generate(WARM_ROWS))])
    return timed(lambda: run(tables()), head, runs)


def _detected(outcome: Outcome) -> int:
    return _rendered(outcome.detections)


def _rendered(detections: Sequence[Rendered]) -> int:
    """Their number; the body of each is made."""
    return sum(bool(detection.body) for detection in detections)


def first_lines(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(BASELINE_BYTES)
    return data[: data.rindex(b"\n") + 1]
