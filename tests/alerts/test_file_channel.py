"""Files and standard output: one line per message, whatever was there before and whatever fails."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alert_helpers import (
    all_deliveries,
    destinations,
    dispatcher,
    every_kind,
    notice,
    one_delivery,
    send,
    subject,
)
from sqlalchemy import Engine

from alerts.lines_of_json import append_line
from alerts.ports import ManualClock
from alerts.reasons import Reason


def in_file(path: Path, **settings: object) -> dict[str, object]:
    return {"type": "file", "path": str(path), **settings}


def test_each_message_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    for said in every_kind(message="one\r\ntwo\u2028three\x85"):
        assert send(said, destinations(file=in_file(path)), "file")[0] is Reason.DELIVERED
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["type"] for line in lines] == [
        "cep.detection.v1",
        "cep.detection.v1",
        "cep.detections.v1",
        "cep.detections.v1",
        "cep.alert.reminder.v1",
        "cep.alert.escalation.v1",
        "cep.alert.resolved.v1",
        "cep.test.v1",
    ]
    assert path.stat().st_mode & 0o777 == 0o640


def test_detection_that_was_committed_with_line_breaks_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    one = subject()
    pretty = json.dumps(json.loads(one.body), indent=2).replace("\n", "\r\n").encode()
    said = notice(type(one)(one.detection_id, one.rule, one.severity, one.at_ms, pretty))
    send(said, destinations(file=in_file(path)), "file")
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line)["data"] == json.loads(one.body)


@pytest.mark.parametrize("torn", [b'{"specversion":"1.0","da', b"x", b"a\nb", b"\n", b"a\n", b""])
def test_torn_last_line_is_ended_first(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(torn)
    append_line(path, b"{}")
    ended = torn if torn in (b"", b"\n", b"a\n") else torn + b"\n"
    assert path.read_bytes() == ended + b"{}\n"


def test_missing_folder_is_tried_again(
    engine: Engine, detect: Callable[..., str], tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "later" / "alerts.jsonl"
    detect("file")
    sender = dispatcher(engine, destinations(file=in_file(path)), clock)
    asyncio.run(sender.run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == ("pending", "not_written")
    path.parent.mkdir()
    clock.advance(5_000)
    asyncio.run(sender.run_once())
    assert one_delivery(engine).state == "delivered"
    assert len(path.read_bytes().splitlines()) == 1


def test_full_disk_is_tried_again(tmp_path: Path) -> None:
    reason, attempt, _ = send(
        notice(subject()), destinations(file=in_file(Path("/dev/full"))), "file"
    )
    assert reason is Reason.NOT_WRITTEN
    assert attempt.error == "No space left on device"


def test_line_that_was_cut_off_by_a_full_disk_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    program = (
        "import resource, signal\n"
        "from pathlib import Path\n"
        "from alerts.lines_of_json import append_line\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        f"append_line(Path({str(path)!r}), b'1' * 70)\n"
        f"append_line(Path({str(path)!r}), b'2' * 70)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # not ours
    assert path.stat().st_size == 100
    append_line(path, b"3" * 70)
    assert path.read_bytes().splitlines() == [b"1" * 70, b"2" * 29, b"3" * 70]


def test_many_messages_at_a_time_do_not_mix(
    engine: Engine, detect: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "alerts.jsonl"
    names = ["one", "two"]
    for _ in range(60):
        detect(*names, message="m" * 5_000)
    where = destinations(**{name: in_file(path, concurrency=16) for name in names})
    asyncio.run(dispatcher(engine, where).run_once())
    lines = path.read_bytes().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 60
    assert len(lines) == 120
    assert {row.state for row in all_deliveries(engine)} == {"delivered"}


def test_pipe_takes_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    reason, _, kept = send(notice(subject()), destinations(file=in_file(path)), "file")
    assert reason is Reason.DELIVERED
    assert os.read(keep, 1 << 20) == kept + b"\n"
    os.close(keep)


def test_write_that_hangs_is_given_up_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    os.set_blocking(keep, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(keep, b"x" * 4096)
    reason, _, _ = send(notice(subject()), destinations(file=in_file(path, timeout_ms=200)), "file")
    assert reason is Reason.TIMEOUT
    # The late write goes on.
    os.set_blocking(keep, True)
    os.read(keep, 1 << 20)
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("send to file"):
            thread.join()
    os.close(keep)


def test_standard_output_has_a_line_per_message(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    where = destinations(out={"type": "stdout"})
    for number in range(3):
        said = notice(subject(number, message=f"\x1b[31m{number}\x9b\u202e"))
        assert send(said, where, "out")[0] is Reason.DELIVERED
    lines = capfdbinary.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"{number:032x}" for number in range(3)]
    for line in lines:
        assert line.decode().isprintable()
        assert "\x9b\u202e" in json.loads(line)["data"]["message"]


def test_closed_standard_output_is_tried_again(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.path.insert(0, 'tests/alerts')\n"
        "from alert_helpers import destinations, notice, send, subject\n"
        "where = destinations(out={'type': 'stdout'})\n"
        "said = notice(subject())\n"
        "print(send(said, where, 'out')[0], file=sys.stderr)\n"
        "sys.stdout.close()\n"
        "print(send(said, where, 'out')[0], file=sys.stderr)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=root
    )
    os.close(writer)
    assert [line for line in done.stderr.splitlines() if "not_" in line] == ["not_written"] * 2
