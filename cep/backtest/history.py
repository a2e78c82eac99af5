"""Where the records of a back-test come from: a log, or a file of columns (Arrow, Parquet).

A log that goes on is read to where it ended when the back-test began.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from cep import limits
from cep.backtest.question import Range
from cep.errors import SourceError, UsageError
from cep.log import is_embedded, open_log, takes_events
from cep.log.file import FileLog
from cep.ports import Log, Records

if TYPE_CHECKING:
    import pyarrow

_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a file of columns."""

    first_position: int
    table: pyarrow.Table

    @property
    def end_position(self) -> int:
        return self.first_position + int(self.table.num_rows)


Piece: TypeAlias = Records | Rows


class History(Protocol):
    """`ends`: nothing comes after the last record, so time goes to its end with it."""

    ends: bool

    @property
    def partitions(self) -> tuple[str, ...]: ...

    def count(self, asked: Range) -> int | None:
        """How many records will be read; None when finding that out means reading them."""
        ...

    def pieces(self, partition: str, asked: Range) -> Iterator[Piece]:
        """What may hold an event of the range, without gaps; raises SourceError."""
        ...

    def close(self) -> None: ...


def open_history(url: str) -> History:
    """By what the URL looks like: as `cep.log.open_log`, or a file of columns by its ending."""
    path = url.removeprefix("file://")
    if path.endswith((*_PARQUET, *_ARROW)):
        return ColumnHistory(path)
    return LogHistory(open_log(url, follow=False), counted=is_embedded(url), ends=_ends(url))


def _ends(url: str) -> bool:
    return not takes_events(url)


class LogHistory:
    """`counted`: the log knows at once how many records it has."""

    def __init__(self, log: Log, *, counted: bool, ends: bool) -> None:
        self.log = log
        self.ends = ends
        self._begins = {name: log.begin(name) for name in log.partitions}
        self._log_ends = {name: log.end(name) if counted else None for name in log.partitions}

    @property
    def partitions(self) -> tuple[str, ...]:
        return self.log.partitions

    @property
    def done(self) -> float | None:
        """The fraction of a file that is read."""
        return self.log.done if isinstance(self.log, FileLog) else None

    def count(self, asked: Range) -> int | None:
        sizes = [self._size(name, asked) for name in self.partitions]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def pieces(self, partition: str, asked: Range) -> Iterator[Records]:
        if asked.by_position and len(self.partitions) > 1:
            raise UsageError(
                "positions are those of one partition: name one, such as "
                f"#{self.partitions[0]}, or give times"
            )
        position, end = self._first(partition, asked), self._end(partition, asked)
        skipping = True
        while end is None or position < end:
            room = limits.BATCH_RECORDS_MAX
            records = self.log.read(
                partition, position, room if end is None else min(room, end - position)
            )
            if records is None or records.count == 0:
                break
            position = records.end_position
            skipping = skipping and _all_before(records, asked.since_ms)
            if not skipping:
                yield records

    def close(self) -> None:
        self.log.close()

    def _first(self, partition: str, asked: Range) -> int:
        return max(self._begins[partition], asked.first_position or 0)

    def _end(self, partition: str, asked: Range) -> int | None:
        known = [end for end in (self._log_ends[partition], asked.end_position) if end is not None]
        return min(known) if known else None

    def _size(self, partition: str, asked: Range) -> int | None:
        if self._log_ends[partition] is None:
            return None
        end = self._end(partition, asked)
        return None if end is None else max(0, end - self._first(partition, asked))


def _all_before(records: Records, since_ms: int | None) -> bool:
    """Whether the log knows that none of the events is of the range.

    What is later than a record's ingest allows is quarantined, so it is no event either.
    """
    if since_ms is None:
        return False
    if records.tick_ms is not None:
        return records.tick_ms < since_ms
    return bool(records.ingests) and all(each.latest_ms < since_ms for each in records.ingests)


class ColumnHistory:
    """A file whose columns are the fields of the events; positions are the numbers of rows."""

    ends = True

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise UsageError(f"{path}: no such file")

    @property
    def partitions(self) -> tuple[str, ...]:
        return (self._path.name,)

    def count(self, asked: Range) -> int | None:
        import pyarrow
        from pyarrow import parquet

        if not self._path.name.endswith(_PARQUET):
            return None
        try:
            rows = int(parquet.read_metadata(self._path).num_rows)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        end = rows if asked.end_position is None else min(rows, asked.end_position)
        return max(0, end - (asked.first_position or 0))

    def pieces(self, partition: str, asked: Range) -> Iterator[Rows]:
        import pyarrow

        position, first, end = 0, asked.first_position or 0, asked.end_position
        try:
            for batch in self._batches():
                for start in range(0, batch.num_rows, limits.BATCH_RECORDS_MAX):
                    part = batch.slice(start, limits.BATCH_RECORDS_MAX)
                    below = max(0, first - position)
                    above = part.num_rows if end is None else min(part.num_rows, end - position)
                    if below < above:
                        kept = part.slice(below, above - below)
                        yield Rows(position + below, pyarrow.Table.from_batches([kept]))
                    position += part.num_rows
                    if end is not None and position >= end:
                        return
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        pass

    def _batches(self) -> Iterator[Any]:
        import pyarrow
        from pyarrow import parquet

        if self._path.name.endswith(_PARQUET):
            with parquet.ParquetFile(self._path) as file:
                yield from file.iter_batches(batch_size=limits.BATCH_RECORDS_MAX)
            return
        with pyarrow.memory_map(str(self._path)) as source:
            yield from _arrow_batches(source)

    def _unreadable(self, error: Exception) -> SourceError:
        return SourceError(f"{self._path}: cannot be read: {str(error).splitlines()[0]}")


def _arrow_batches(source: Any) -> Iterator[Any]:
    import pyarrow

    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:  # written as a stream, which has no list of its parts
        source.seek(0)
        return iter(pyarrow.ipc.open_stream(source))
    return (file.get_batch(number) for number in range(file.num_record_batches))
