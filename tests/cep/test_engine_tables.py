"""Tables in a running engine: loaded at the start, changed by other threads, kept for the next."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from table_cases import TABLE_RULES, payments

import cep
from cep.engine import Engine
from cep.errors import RowsError, SourceError, StoreError
from cep.fold import Fold
from cep.log.file import FileLog
from cep.log.sqlite import SqliteLog
from cep.ports import Records
from cep.store import reads
from cep.store.store import open_store
from cep.tables.sources import given_rows
from matcher.lookup.table import Applied

SHOPS = "shop,owner,risk\n" + "".join(f"s{n},o{n},{n / 3}\n" for n in range(4))
START_SECONDS = 400  # the very first start compiles the kernels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "r.cep").write_text(TABLE_RULES)
    (tmp_path / "shops.csv").write_text(SHOPS)
    (tmp_path / "exits.txt").write_text("10.0.1.0/24\n")
    (tmp_path / "events").write_bytes(b"".join(line + b"\n" for line in payments(120, 5)))
    return tmp_path


def found_of(folder: Path, name: str) -> list[bytes]:
    store = open_store(str(folder / name))
    found = [row.body for row in reads.detections(store.engine, limit=1000)]
    store.close()
    return found


class Stopping:
    """A log that stops the engine when it has read so far."""

    def __init__(self, path: Path, positions: Sequence[int]) -> None:
        log = self._log = FileLog(str(path), follow=False)
        self._positions, self.partitions = positions, log.partitions
        self.mark, self.end, self.append = log.mark, log.end, log.append
        self.bookmark, self.resume = log.bookmark, log.resume
        self.committed, self.reached, self.begin = log.committed, log.reached, log.begin
        self.engine: Engine | None = None

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        ahead = [at for at in self._positions if at > position]
        if position in self._positions and self.engine is not None:
            self.engine.stop()
            return Records(position, b"", 0)
        limit = min(max_records, ahead[0] - position if ahead else max_records)
        return self._log.read(partition, position, limit)

    def close(self) -> None:
        self._log.close()


def run(folder: Path, store_name: str, stop_at: int | None = None) -> None:
    rules = cep.compile(folder / "r.cep")
    log = Stopping(folder / "events", [] if stop_at is None else [stop_at])
    store = open_store(str(folder / store_name))
    log.engine = Engine(rules, log, store)
    log.engine.run()
    store.close()
    log.close()


def test_a_file_changed_while_the_engine_was_down_counts_from_there(folder: Path) -> None:
    run(folder, "a.db", 60)
    before = found_of(folder, "a.db")
    (folder / "shops.csv").write_text(SHOPS.replace("o1", "changed"))
    run(folder, "a.db")
    after = found_of(folder, "a.db")
    assert after[: len(before)] == before
    assert b"changed" in b"".join(after)
    # an engine that had seen it from the start on says otherwise of the events before
    run(folder, "b.db")
    assert found_of(folder, "b.db") != after
    # and stopping once more changes nothing
    (folder / "shops.csv").write_text(SHOPS)
    run(folder, "c.db", 60)
    (folder / "shops.csv").write_text(SHOPS.replace("o1", "changed"))
    run(folder, "c.db", 61)
    run(folder, "c.db", 90)
    run(folder, "c.db")
    assert found_of(folder, "c.db") == after


def test_a_missing_file_stops_the_first_start_and_no_later_one(folder: Path) -> None:
    (folder / "shops.csv").rename(folder / "elsewhere.csv")
    with pytest.raises(SourceError, match=r"there is no file .*shops\.csv; make it, or name"):
        run(folder, "a.db")
    (folder / "elsewhere.csv").rename(folder / "shops.csv")
    run(folder, "a.db", 60)
    (folder / "shops.csv").unlink()
    run(folder, "a.db")
    run_whole = found_of(folder, "a.db")
    (folder / "shops.csv").write_text(SHOPS)
    run(folder, "b.db")
    assert found_of(folder, "b.db") == run_whole


def test_rows_changed_by_another_thread_are_durable_when_it_is_told(tmp_path: Path) -> None:
    rules = cep.compile(TABLE_RULES)
    path = str(tmp_path / "a.db")
    store = open_store(path)
    log = SqliteLog(path, "events")
    given = given_rows({"shops": [], "exits": []})
    engine = Engine(rules, log, store, tables=given)
    thread = threading.Thread(target=engine.run)
    thread.start()
    rows = [{"shop": "s1", "owner": "o"}, {"shop": "s2", "owner": "o"}]
    assert engine.change_rows("shops", rows).result(60) == Applied(2, 0, 0)
    assert engine.change_rows("shops", rows[:1], ["s2"]).result(60) == Applied(0, 0, 1)
    with pytest.raises(RowsError) as refused:
        engine.change_rows("shops", [{"shop": 1}]).result(60)
    assert len(refused.value.problems) == 1
    engine.stop()
    thread.join(60)
    with pytest.raises(StoreError, match="the engine has stopped"):
        engine.change_rows("shops", rows).result(1)
    lease = store.acquire("events")
    fold = Fold(rules, "events", lease.checkpoint, lease.pages)
    assert [fold.tables.holds("shops", (shop,), 0) for shop in ("s1", "s2")] == [True, False]
    store.close()


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cep.cli", *map(str, arguments)]


def test_the_command_line_names_bad_rows_and_takes_other_files(folder: Path) -> None:
    (folder / "shops.csv").write_text(SHOPS + "s9,o9,high\n")
    (folder / "mine.csv").write_text("shop,owner,risk\ns1,mine,0.9\n")
    (folder / "watched").write_text("c2\n")
    arguments = ("run", folder / "r.cep", "--from", folder / "events", "--out", "jsonl")
    plain = subprocess.run(command(*arguments), capture_output=True, timeout=START_SECONDS)
    assert plain.returncode == 0, plain.stderr
    said = f"shops: {folder}/shops.csv:6: risk: 'high' is not a number; the row is left out"
    assert said in plain.stderr.decode()
    mine = ("--table", f"shops={folder}/mine.csv", "--list", f"watched={folder}/watched")
    other = subprocess.run(
        command(*arguments, *mine),
        capture_output=True,
        timeout=START_SECONDS,
    )
    assert other.returncode == 0, other.stderr
    messages = [json.loads(line)["message"] for line in other.stdout.splitlines()]
    assert any("mine" in message for message in messages)
    twice = [m.partition(":")[0] for m in messages if " and " in m]
    assert set(twice) <= {"c2"}
    wrong = subprocess.run(
        command(*arguments, "--table", "shop=x.csv"), capture_output=True, timeout=START_SECONDS
    )
    assert wrong.returncode == 2
    assert b"no table or list 'shop'; did you mean shops?" in wrong.stderr


def test_keys_come_from_a_file_of_rows(tmp_path: Path) -> None:
    (tmp_path / "r.cep").write_text(
        "event Heartbeat { ts: timestamp @time  host: string }\n"
        'table servers { host: string @pk  owner: string } from file "servers.csv"\n'
        "rule host_down {\n"
        "  by host in servers\n"
        "  match not Heartbeat for 5m\n"
        '  alert "{host} of {servers[host]?.owner}"\n'
        "}\n"
    )
    (tmp_path / "servers.csv").write_text("host,owner\na,x\nb,y\n")
    lines = [f'{{"type":"Heartbeat","ts":{at_ms},"host":"a"}}' for at_ms in (1_000, 301_001)]
    (tmp_path / "beats").write_text("\n".join(lines) + "\n")
    arguments = ("run", tmp_path / "r.cep", "--from", tmp_path / "beats", "--out", "jsonl")
    done = subprocess.run(command(*arguments), capture_output=True, timeout=START_SECONDS)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["message"], one["at"][11:]) for one in found] == [
        ("b of y", "00:05:01.000Z"),
        ("a of x", "00:05:01.000Z"),
        ("a of x", "00:10:01.001Z"),
    ]


def test_a_hang_up_reads_the_tables_anew(folder: Path) -> None:
    log = str(folder / "log.db")
    arguments = ("run", folder / "r.cep", "--from", f"{log}#events", "--out", "jsonl", "--follow")
    SqliteLog(log, "events").append("events", payments(1, 1)[0] + b"\n")
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    deadline = time.monotonic() + START_SECONDS
    (folder / "shops.csv").write_text(SHOPS.replace("s3,o3,1.0\n", ""))
    assert _is_following(process.pid, deadline)
    process.send_signal(signal.SIGHUP)
    assert "the tables were read anew" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0


def _is_following(pid: int, deadline: float) -> bool:
    """Whether the process has set its handler of SIGHUP."""
    mask = 1 << (signal.SIGHUP - 1)
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        if caught & mask:
            return True
        time.sleep(0.02)
    return False


def test_detect_takes_rows_in_place_of_sources() -> None:
    events = [json.loads(line) for line in payments(60, 2)]
    shops = [{"shop": f"s{n}", "owner": f"o{n}", "risk": 0.9} for n in range(4)]
    found = list(cep.detect(TABLE_RULES, events, tables={"shops": shops, "exits": []}))
    assert {one.message for one in found if one.rule == "risky"} >= {"c1 at o1", "c0 at o2"}
    with pytest.warns(UserWarning, match="shops, row 0: shop: missing, and not optional"):
        tables = {"shops": [{"owner": "x"}], "exits": ["10.0.0.0/8"], "watched": ["c0"]}
        assert list(cep.detect(TABLE_RULES, events, tables=tables))
