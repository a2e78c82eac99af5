"""The file log against the plainest twin: splitting the whole file at newlines."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep import limits
from cep.errors import SourceError, UsageError
from cep.log import open_log
from cep.log.buffer import NEWLINE, SEGMENT_BYTES, Block
from cep.log.file import FileLog
from cep.log.lines import LineReader
from cep.ports import Oversized, Records


def read_all(log: FileLog, max_records: int, position: int = 0) -> list[Records]:
    batches = []
    while (records := log.read("p", position, max_records)) is not None:
        assert records.first_position == position
        assert 0 < records.count <= max_records
        assert records.data.count(b"\n") == records.count
        batches.append(records)
        position = records.end_position
    return batches


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=30),
    ended=st.booleans(),
    max_records=st.integers(1, 40),
    start=st.integers(0, 35),
    block=st.integers(1, 50),
)
def test_batches_joined_are_the_file_from_any_position(
    lines: list[bytes], ended: bool, max_records: int, start: int, block: int
) -> None:
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    stream = io.BytesIO(text)
    # Blocks of the size asked for, but small ones: cuts fall everywhere.
    reader = LineReader(lambda size: stream.read(min(block, size)))
    want = text.split(b"\n")
    if want[-1] == b"":
        want.pop()
    got: list[bytes] = []
    while not (reached := reader.skip_to(start)) and not reader.ended:
        pass
    assert reached == (start <= len(want))
    while reached and (records := reader.next(max_records)) is not None:
        got += records.data.split(b"\n")[:-1]
    assert got == want[start:]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(
        st.builds(
            int.__add__,
            st.sampled_from([0, 1000, SEGMENT_BYTES, limits.LINE_BYTES_MAX]),
            st.integers(-2, 2),
        ).map(abs),
        max_size=8,
    ),
    block=st.sampled_from([9_999, SEGMENT_BYTES, SEGMENT_BYTES + 1, limits.READ_BLOCK_BYTES]),
    max_records=st.integers(1, 9),
)
def test_lines_of_any_length_are_found_whatever_the_blocks(
    sizes: list[int], block: int, max_records: int
) -> None:
    lines = [bytes([ord("a") + number]) * size for number, size in enumerate(sizes)]
    stream = io.BytesIO(b"".join(line + b"\n" for line in lines))
    reader = LineReader(lambda size: stream.read(min(block, size)))
    got: list[bytes] = []
    oversized: list[Oversized] = []
    while (records := reader.next(max_records)) is not None:
        assert records.count <= max_records
        got += records.data.split(b"\n")[:-1]
        oversized += records.oversized
    assert got == [b"" if len(line) > limits.LINE_BYTES_MAX else line for line in lines]
    assert oversized == [
        Oversized(number, len(line), line[: limits.DEAD_LETTER_RAW_BYTES])
        for number, line in enumerate(lines)
        if len(line) > limits.LINE_BYTES_MAX
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3 * SEGMENT_BYTES), min_size=1, max_size=6), st.booleans())
def test_lines_of_a_block_are_found_by_number(sizes: list[int], ended: bool) -> None:
    data = b"\n".join(b"x" * size for size in sizes) + b"\n" * ended
    block = Block(data)
    ends = [place + 1 for place, octet in enumerate(data) if octet == NEWLINE]
    assert block.lines == len(ends)
    assert [block.behind(line + 1) for line in range(len(ends))] == ends


def test_gzip_and_plain_file_read_the_same(tmp_path: Path) -> None:
    text = b"".join(b'{"n":%d}\n' % n for n in range(5000)) + b"last"
    plain, packed = tmp_path / "e.ndjson", tmp_path / "e.ndjson.gz"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text[:300]) + gzip.compress(text[300:]))
    one, two = FileLog(str(plain)), FileLog(str(packed))
    assert one.partitions == two.partitions == ("e.ndjson",)
    assert read_all(one, 700) == read_all(two, 700)
    assert one.end("e.ndjson") == two.end("e.ndjson") == 5001
    one.close()
    two.close()


def test_mark_tells_logs_apart_without_moving_them(tmp_path: Path) -> None:
    marks = set()
    for number, text in enumerate((b"a\nb\n", b"a\r\nc\n", b"a", b"b\na\n")):
        path = tmp_path / f"{number}.ndjson"
        path.write_bytes(text)
        log = FileLog(str(path))
        marks.add(log.mark("p"))
        assert (
            log.read("p", 0, 1) == Records(0, text.splitlines(keepends=True)[0], 1) or text == b"a"
        )
        assert log.mark("p") in marks
        log.close()
    assert len(marks) == 2
    path.write_bytes(b"")
    log = FileLog(str(path))
    assert log.mark("p") == ""
    log.close()


@pytest.mark.parametrize("ended", [True, False])
def test_long_line_becomes_a_blank_line_with_its_head_kept(tmp_path: Path, ended: bool) -> None:
    path = tmp_path / "e.ndjson"
    long_line = b"x" * (limits.LINE_BYTES_MAX + 1)
    huge_line = b"y" * (3 * limits.READ_BLOCK_BYTES)
    just_fits = b"z" * limits.LINE_BYTES_MAX
    lines = [b"first", huge_line, b"", long_line, just_fits, b"after", long_line]
    path.write_bytes(b"\n".join(lines) + (b"\n" if ended else b""))
    for max_records in (1, 2, 100):
        log = FileLog(str(path))
        batches = read_all(log, max_records)
        log.close()
        assert b"".join(b.data for b in batches) == b"first\n\n\n\n" + just_fits + b"\nafter\n\n"
        found = [o for b in batches for o in b.oversized]
        assert [(o.position, o.size_bytes) for o in found] == [
            (1, len(huge_line)),
            (3, len(long_line)),
            (6, len(long_line)),
        ]
        assert found[0].head == huge_line[: limits.DEAD_LETTER_RAW_BYTES]
        for batch in batches:
            for line in batch.oversized:
                assert batch.first_position <= line.position < batch.end_position


def test_endless_line_does_not_grow_memory(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from cep.log.file import FileLog\n"
        "log = FileLog(sys.argv[1])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "records = log.read('p', 0, 100)\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(records.count, records.oversized[0].size_bytes, grown)\n"
    )
    path = tmp_path / "e.ndjson"
    with path.open("wb") as file:
        file.truncate(300 * limits.MIB)  # a sparse file: one line of zero bytes
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    count, size, grown_kib = map(int, done.stdout.split())
    assert (count, size) == (1, 300 * limits.MIB)
    assert grown_kib < 64 * 1024


def test_pipe_hands_out_what_is_there_when_the_writer_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        log = FileLog("-")
        writer.write(b"a\nb\nc")
        assert log.read("-", 0, 100) == Records(0, b"a\nb\n", 2)
        assert log.read("-", 2, 100) == Records(2, b"", 0)
        big = b"d" * 999_999 + b"\n"
        thread = threading.Thread(target=writer.write, args=(big,))
        thread.start()
        assert log.read("-", 2, 100) == Records(2, b"c" + big, 1)
        thread.join()
        writer.close()
        assert log.read("-", 3, 100) is None
        with pytest.raises(SourceError, match="cannot be read again"):
            log.read("-", 0, 100)


def test_followed_file_goes_on_after_its_end_and_waits_for_the_newline(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"a\nb")
    log = FileLog(str(path), follow=True)
    assert log.read("p", 0, 10) == Records(0, b"a\n", 1)
    assert log.read("p", 1, 10) == Records(1, b"", 0)
    with path.open("ab") as file:
        file.write(b"b\nc\n")
    assert log.read("p", 1, 10) == Records(1, b"bb\nc\n", 2)
    log.close()


def test_damaged_gzip_is_a_named_source_error(tmp_path: Path) -> None:
    path = tmp_path / "e.gz"
    path.write_bytes(gzip.compress(b"a\n" * 100_000)[:-20])
    log = FileLog(str(path))
    with pytest.raises(SourceError, match=r"e\.gz: cannot read on"):
        read_all(log, 10)
    log.close()


def test_urls_say_what_kind_of_log_they_are(tmp_path: Path) -> None:
    (tmp_path / "e.ndjson").touch()
    for url in (str(tmp_path / "a.db"), f"sqlite:///{tmp_path}/a.db#logins"):
        log = open_log(url, create=True)
        assert log.partitions == ("logins" if "#" in url else "events",)
        log.close()
    assert isinstance(open_log(str(tmp_path / "e.ndjson")), FileLog)
    assert isinstance(open_log(f"file://{tmp_path}/e.ndjson"), FileLog)
    with pytest.raises(UsageError, match="no such file"):
        open_log(str(tmp_path / "missing.ndjson"))
    with pytest.raises(UsageError, match="no such kind of log"):
        open_log("carrier-pigeon://loft")
    with pytest.raises(UsageError, match="read only"):
        open_log(str(tmp_path / "e.ndjson")).append("e.ndjson", b"{}\n")
