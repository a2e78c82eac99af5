"""`cep.detect`: the fold over events that are already in the program, without log or store."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from itertools import islice
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from cep import limits
from cep.detection import Detection
from cep.fold import Fold, Outcome
from cep.log import open_log
from cep.log.lines import LineReader
from cep.tables.reading import Source
from cep.tables.sources import given_rows, load, sources_of
from dsl.model import RuleSet

if TYPE_CHECKING:
    import pyarrow


def detections(
    rules: RuleSet, events: Any, partition: str, tables: Mapping[str, Any]
) -> Iterator[Detection]:
    """See `cep.detect`."""
    sources = sources_of(rules, given_rows(tables))
    if isinstance(events, str | PathLike):
        steps = _log_steps(rules, fspath(events), sources)
    else:
        fold = _fold(rules, partition, sources)
        if isinstance(events, bytes | bytearray | memoryview):
            steps = _line_steps(fold, bytes(events))
        elif hasattr(events, "__arrow_c_stream__"):
            steps = _table_steps(fold, events)
        else:
            steps = _dict_steps(fold, events)
    for outcome in steps:
        yield from (found.detection for found in outcome.detections)


def _fold(rules: RuleSet, partition: str, sources: Mapping[str, Source]) -> Fold:
    fold = Fold(rules, partition, elsewhere=sources)
    load(fold, sources, lambda sentence: warnings.warn(sentence, stacklevel=2))
    return fold


def _log_steps(rules: RuleSet, url: str, sources: Mapping[str, Source]) -> Iterator[Outcome]:
    log = open_log(url, follow=False)
    if len(log.partitions) > 1:
        from cep.partitioning import check_log

        check_log(rules, log)
    try:
        for partition in log.partitions:
            fold = _fold(rules, partition, sources)
            if first := log.begin(partition):
                fold.begin_at(first)
            while records := log.read(partition, fold.position, limits.BATCH_RECORDS_MAX):
                yield fold.step(records)
            yield fold.finish()
    finally:
        log.close()


def _line_steps(fold: Fold, data: bytes) -> Iterator[Outcome]:
    reader = LineReader(BytesIO(data).read)
    while records := reader.next(limits.BATCH_RECORDS_MAX):
        yield fold.step(records)
    yield fold.finish()


def _dict_steps(fold: Fold, events: Iterable[Mapping[str, object]]) -> Iterator[Outcome]:
    rest, position = iter(events), 0
    while chunk := [dict(event) for event in islice(rest, limits.BATCH_RECORDS_MAX)]:
        yield fold.step_decoded(fold.decoder.decode_dicts(chunk, position))
        position += len(chunk)
    yield fold.finish()


def _table_steps(fold: Fold, frame: Any) -> Iterator[Outcome]:
    import pyarrow

    table: pyarrow.Table = pyarrow.table(frame)
    for position in range(0, table.num_rows, limits.BATCH_RECORDS_MAX):
        part = table.slice(position, limits.BATCH_RECORDS_MAX)
        yield fold.step_decoded(fold.decoder.decode_arrow(part, position))
    yield fold.finish()
