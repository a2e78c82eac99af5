"""A file of NDJSON as a log: plain, `.gz`, or `-` for standard input.

One partition, named after the file unless renamed (`events.ndjson`, also when read from
`events.ndjson.gz`; `-` for standard input).  The position of a record is its line number from 0.
Standard input can only be read forwards.  With `follow` the end of a plain file means "nothing
yet" and an unterminated last line waits for its end.  Appending is refused: `cep append` writes to
embedded logs.
"""

from __future__ import annotations

import gzip
import io
import select
import sys
import zlib
from pathlib import Path
from typing import IO, cast

from cep import limits
from cep.errors import SourceError, UsageError
from cep.log.lines import LineReader
from cep.log.positional import Positional
from cep.ports import Records, mark_of


class FileLog(Positional):
    def __init__(self, path: str, *, follow: bool = False) -> None:
        self.path = path
        self.partition = "-" if path == "-" else Path(path).name.removesuffix(".gz")
        self.bytes_read = 0  # of the file as stored, for progress
        self._follow = follow
        self._raw: IO[bytes] | None = None
        self._stream: IO[bytes] | None = None
        self._reader: LineReader | None = None
        if follow and (path == "-" or path.endswith(".gz")):
            raise UsageError(f"{path}: only a plain file can be followed")
        if path != "-" and (not Path(path).exists() or Path(path).is_dir()):
            raise UsageError(f"{path}: no such file")

    @property
    def partitions(self) -> tuple[str, ...]:
        return (self.partition,)

    @property
    def done(self) -> float | None:
        """The fraction of the file that is read; None when its size is unknown."""
        path = Path(self.path)
        size_bytes = path.stat().st_size if self.path != "-" and path.is_file() else 0
        return min(1.0, self.bytes_read / size_bytes) if size_bytes else None

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        reader = self._reader
        if reader is None or reader.position > position:
            reader = self._open()
        try:
            if reader.skip_to(position):
                return reader.next(max_records)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(
                f"{self.path}: cannot read on after record {reader.position}: {error}"
            ) from error
        if reader.ended:
            raise SourceError(
                f"{self.path} ends at record {reader.position}, before record {position}"
            )
        return Records(position, b"", 0)

    def mark(self, partition: str) -> str:
        return mark_of((self._reader or self._open()).first_line())

    def end(self, partition: str, bookmark: str = "") -> int:
        """Counts the lines: reads the whole file."""
        if self.path == "-":
            raise UsageError("the end of standard input is not known")
        other = FileLog(self.path)
        position = 0
        while records := other.read(partition, position, limits.BATCH_RECORDS_MAX):
            position = records.end_position
        other.close()
        return position

    def append(self, partition: str, data: bytes) -> range:
        raise UsageError(f"{self.path}: a file is read only; append to an embedded log (x.db)")

    def close(self) -> None:
        for stream in (self._stream, self._raw):
            if stream is not None and self.path != "-":
                stream.close()
        self._stream = self._raw = self._reader = None

    def _open(self) -> LineReader:
        if self.path == "-":
            if self._reader is not None:
                raise SourceError("standard input cannot be read again from the start")
            self._reader = LineReader(_read_standard_input)
            return self._reader
        self.close()
        try:
            self._raw = Path(self.path).open("rb")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise SourceError(f"{self.path}: {error.strerror}") from error
        compressed = self.path.endswith(".gz")
        self._stream = (
            cast(IO[bytes], gzip.GzipFile(fileobj=self._raw)) if compressed else self._raw
        )
        self._reader = LineReader(self._read_block)
        return self._reader

    def _read_block(self, size: int) -> bytes | None:
        if self._stream is None or self._raw is None:
            raise SourceError(f"{self.path}: the log is closed")
        block = self._stream.read(size)
        self.bytes_read = self._raw.tell()
        return None if self._follow and not block else block


def _read_standard_input(size: int) -> bytes | None:
    """Gathers up to `size` bytes until the writer pauses; None after a longer silence.

    A pipe holds little, so its parts are joined to batches worth a step; a slow writer's events
    still leave after `STDIN_PAUSE_MS`.
    """
    stream = cast(io.BufferedReader, sys.stdin.buffer)
    parts: list[bytes] = []
    gathered = 0
    while gathered < size:
        wait_ms = limits.STDIN_PAUSE_MS if parts else limits.STDIN_SILENCE_MS
        if not _readable(stream, wait_ms):
            return b"".join(parts) if parts else None
        part = stream.read1(size - gathered)
        if not part:
            break
        parts.append(part)
        gathered += len(part)
    return b"".join(parts)


def _readable(stream: io.BufferedReader, wait_ms: int) -> bool:
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):  # not a real file: reading does not block
        return True
    # read1 hands out everything it buffered, so an empty descriptor means an empty buffer.
    return bool(select.select([descriptor], [], [], wait_ms / 1000)[0])
