"""Where the time goes from an NDJSON file to rows in order of event time, without matching.

Each round reads the whole file stage by stage and then runs the bare decoder over its beginning, so
that both meet the same machine.  Times are of the processor, each the least of the rounds.
"""

from __future__ import annotations

import time
from pathlib import Path

import cep
from bench import baseline, rulebook, workload
from cep.event_time import EventTime
from cep.limits import BATCH_RECORDS_MAX
from cep.log.file import FileLog
from matcher.decode import Decoder
from matcher.schema import Schema
from matcher.strings import Strings

BARE_BYTES = 64 << 20
STAGES = ("read", "decode", "order")


def stages(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """Nanoseconds per event and stage with the fields that a workload's rules read."""
    rules = cep.compile(rulebook.text(name))
    schema = Schema.of(rules.events, rules.rules)
    path = workload.cached_ndjson(n, head)
    with path.open("rb") as file:
        data = file.read(BARE_BYTES)
    lines = data[: data.rindex(b"\n") + 1]
    blocks = baseline.blocks(lines)
    _read(schema, workload.cached_ndjson(2_000, 2_000))  # compiles
    rounds = [(*_read(schema, path), _bare(blocks)) for _ in range(runs)]
    each = [min(round[stage] for round in rounds) / head * 1e9 for stage in range(len(STAGES))]
    bare = min(seconds for *_, seconds in rounds) / lines.count(b"\n") * 1e9
    return {
        "ns_per_event": dict(zip(STAGES, (round(ns, 1) for ns in each), strict=True)),
        "bare_decoder_ns_per_event": round(bare, 1),
        "ratio_to_bare_decoder": round(bare / sum(each), 3),
    }


def _read(schema: Schema, path: Path) -> tuple[float, float, float]:
    """Seconds of each stage."""
    log, decoder, order = FileLog(str(path)), Decoder(schema, Strings()), EventTime(0)
    seconds = [0.0, 0.0, 0.0]
    position = 0
    while True:
        begin = time.thread_time()
        records = log.read(log.partition, position, BATCH_RECORDS_MAX)
        read = time.thread_time()
        seconds[0] += read - begin
        if records is None:
            break
        batch = decoder.decode(records.data, position).batch
        decoded = time.thread_time()
        order.push(batch)
        seconds[1] += decoded - read
        seconds[2] += time.thread_time() - decoded
        position = records.end_position
    log.close()
    return seconds[0], seconds[1], seconds[2]


def _bare(blocks: list[bytes]) -> float:
    begin = time.thread_time()
    baseline.decode(blocks)
    return time.thread_time() - begin
