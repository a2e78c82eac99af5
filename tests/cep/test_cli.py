"""The command line as a user meets it: real processes, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from engine_cases import RULES, events, fold_all, rules

from cep.store import reads
from cep.store.store import open_store

START_SECONDS = 400  # the very first start compiles the kernels
START_SECONDS_MAX = 0.4
BARE_INTERPRETER_SECONDS = 0.02  # on an idle machine of the class the goal is for


def cep(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, timeout=START_SECONDS
    )


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cep.cli", *map(str, arguments)]


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "cards.cep"
    path.write_text(RULES)
    return path


@pytest.fixture
def event_file(tmp_path: Path) -> Path:
    path = tmp_path / "p"
    path.write_bytes(b"".join(line + b"\n" for line in events(300, 1)))
    return path


BAD = """
event E { ts: timestamp @time  a: int }
rule one { severity high  match x: E[b == 1]  alert "{x.a}" }
rule two { severity high  match x: F  alert "x" }
"""


def test_bad_rule_file_prints_every_error_with_its_place_and_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "bad.cep"
    path.write_text(BAD)
    (tmp_path / "e.ndjson").touch()
    for arguments in (("check", path), ("run", path, "--from", tmp_path / "e.ndjson")):
        done = cep(*arguments)
        assert done.returncode == 1
        text = (done.stdout + done.stderr).decode()
        assert f"{path}:3:" in text
        assert f"{path}:4:" in text
        assert "Traceback" not in text
    listed = json.loads(cep("check", "--json", path).stdout)
    assert {one["line"] for one in listed if one["severity"] == "error"} == {3, 4}


def test_sound_rule_file_exits_0(rule_file: Path) -> None:
    done = cep("check", rule_file)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"3 rules" in done.stderr
    assert json.loads(cep("check", "--json", rule_file).stdout) == []


def test_run_prints_detections_on_standard_output_and_nothing_else(
    rule_file: Path, event_file: Path
) -> None:
    found, _ = fold_all(rules(), events(300, 1))
    done = cep("run", rule_file, "--from", event_file, "--no-store", "--out", "jsonl")
    assert done.returncode == 0
    assert done.stdout == b"".join(body + b"\n" for body in found.bodies)
    assert b"dead letter" in done.stderr
    assert b"detections" in done.stderr
    piped = cep("run", rule_file, "--from", "-", stdin=event_file.read_bytes())
    assert [d["message"] for d in map(orjson.loads, piped.stdout.splitlines())] == [
        d["message"] for d in map(orjson.loads, done.stdout.splitlines())
    ]
    pretty = cep("run", rule_file, "--from", event_file, "--out", "pretty")
    assert len(pretty.stdout.splitlines()) == len(found.bodies)
    assert b"HIGH" in pretty.stdout


def test_run_with_a_store_keeps_what_it_prints(
    rule_file: Path, event_file: Path, tmp_path: Path
) -> None:
    url = tmp_path / "s.db"
    done = cep("run", rule_file, "--from", event_file, "--store", url)
    store = open_store(str(url))
    kept = [found.body for found in reads.detections(store.engine, limit=1000)]
    store.close()
    assert done.stdout.splitlines() == kept
    again = cep("run", rule_file, "--from", event_file, "--store", url)
    assert (again.returncode, again.stdout) == (0, b"")


def test_derived_events_are_counted_apart_from_received_ones(tmp_path: Path) -> None:
    rule_file, event_file = tmp_path / "rules.cep", tmp_path / "events"
    rule_file.write_text(
        """
        event E { ts: timestamp @time  n: int }
        event Signal { n: int }
        rule lower { match a: E emit Signal {n: a.n * 4} }
        rule upper { match s: Signal -> t: Signal within 1m alert "{s.n} {t.n}" }
        """
    )
    lines = [b'{"type":"E","ts":%d,"n":%d}\n' % (ts, n) for ts, n in enumerate((1, 2**62, 3))]
    event_file.write_bytes(b"".join(lines))
    done = cep("run", rule_file, "--from", event_file, "--out", "jsonl")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["rule"] for one in found] == ["lower", "lower", "lower", "upper"]
    said = done.stderr.decode()
    assert "3 events (3 processed, 0 late" in said
    assert "4 detections (0 suppressed), 2 derived events" in said
    assert "1 derived events do not fit their declaration" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--from", "nothing.ndjson"], 2, b"no such file"),
        (["--from", "pigeon://x"], 2, b"no such kind of log"),
        (["--from", "{events}", "--workers", "2"], 2, b"has one partition"),
        (["--from", "{events}", "--store", "s.db", "--no-store"], 2, b"exclude each other"),
        (["--from", "{events}", "--store", "/no/such/s.db"], 2, b"no such folder"),
        (["--from", "{events}", "--store", "postgresql://127.0.0.1:1/x"], 3, b"cannot open"),
        (["--from", "{events}", "--store", "{rules}"], 3, b"not a database"),
    ],
)
def test_trouble_has_a_named_reason_and_an_exit_code(
    rule_file: Path, event_file: Path, arguments: list[str], code: int, says: bytes
) -> None:
    filled = [part.format(events=event_file, rules=rule_file) for part in arguments]
    done = cep("run", rule_file, *filled)
    assert done.returncode == code
    assert says in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_append_then_follow_until_sigterm(
    rule_file: Path, event_file: Path, tmp_path: Path
) -> None:
    database = tmp_path / "a.db"
    assert cep("append", event_file, "--to", f"{database}#payments").returncode == 0
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        process = subprocess.Popen(
            command(
                "run", rule_file, "--from", f"{database}#payments", "--store", database,
                "--out", "jsonl",
            ),
            stdout=stdout,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not out.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"stopped at record 300" in stderr
    store = open_store(str(database))
    assert out.read_bytes().splitlines() == [
        found.body for found in reads.detections(store.engine, limit=1000)
    ]
    store.close()


def test_appended_to_a_redis_stream_and_read_to_its_end(event_file: Path, redis_url: str) -> None:
    url = f"{redis_url}#{event_file.name}"
    appended = cep("append", event_file, "--to", url)
    assert appended.returncode == 0, appended.stderr
    assert f"300 records appended to {url}".encode() in appended.stderr
    rules_file = event_file.parent / "r.cep"
    rules_file.write_text(RULES)
    from_file = cep("run", rules_file, "--from", event_file, "--out", "jsonl")
    from_stream = cep("run", rules_file, "--from", url, "--no-follow", "--out", "jsonl")
    assert from_stream.returncode == 0, from_stream.stderr
    assert from_stream.stdout == from_file.stdout != b""
    assert b"appendfsync always" in from_stream.stderr


def test_topic_of_several_redis_streams_is_made_by_options(
    event_file: Path, redis_url: str
) -> None:
    topic = "several"
    url = f"{redis_url}#{topic}"
    assert b"--key" in cep("append", event_file, "--to", f"{redis_url}?partitions=3#{topic}").stderr
    assert b"--dedupe" in cep("append", event_file, "--to", url, "--dedupe", "id").stderr
    made = cep("append", event_file, "--to", url, "--partitions", "3", "--key", "card")
    assert made.returncode == 0, made.stderr
    rules_file = event_file.parent / "r.cep"
    rules_file.write_text(RULES)
    from_file = cep("run", rules_file, "--from", event_file, "--out", "jsonl")
    from_streams = cep("run", rules_file, "--from", url, "--no-follow", "--out", "jsonl")
    assert from_streams.returncode == 0, from_streams.stderr
    count = len(from_file.stdout.splitlines())
    assert len(from_streams.stdout.splitlines()) == count > 0
    explained = cep("explain", rules_file, "--rule", "escalation", "--from", url)
    assert f"name one, such as #{topic}:0".encode() in explained.stderr


def test_append_refuses_a_file_as_target(event_file: Path) -> None:
    done = cep("append", event_file, "--to", event_file)
    assert done.returncode == 2
    assert b"cannot append to" in done.stderr


TESTED = (
    RULES
    + """
test escalation "fires" {
  at 0s Payment {card: "c", amount: 1.00}
  at 5s Payment {card: "c", amount: 600.00}
  expect at 5s 1 alert {card: "c"} where count(small) == 1
}
test unblocked "at the deadline" {
  at 0s Payment {card: "c", amount: 901.00}
  advance 30s
  expect at 30s 1 alert {card: "c", severity: "low"}
}
"""
)
FAILING = (
    TESTED
    + """
test escalation "wrongly expects two" {
  at 0s Payment {card: "c", amount: 1.00}
  at 5s Payment {card: "c", amount: 600.00}
  expect 2 alert
}
"""
)


def test_inline_tests_pass_and_fail_with_what_happened(tmp_path: Path) -> None:
    path, report = tmp_path / "t.cep", tmp_path / "report.xml"
    path.write_text(TESTED)
    done = cep("test", path)
    assert (done.returncode, done.stdout) == (0, b"2 tests passed\n")
    path.write_text(FAILING)
    done = cep("test", path, "--junit", report)
    assert done.returncode == 1
    line = FAILING[: FAILING.index("  expect 2 alert")].count("\n") + 1
    assert f"t.cep:{line}: expected 2 alerts, found 1".encode() in done.stdout
    assert b'at 5s {card: "c"} c: 1 small, then 600.00' in done.stdout
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")


def test_format_changes_a_file_once(tmp_path: Path) -> None:
    path = tmp_path / "f.cep"
    path.write_text("event   E {ts: timestamp @time}\n")
    assert cep("fmt", "--check", path).returncode == 1
    assert cep("fmt", path).returncode == 0
    assert cep("fmt", "--check", path).returncode == 0
    path.write_text("rule {")
    assert cep("fmt", path).returncode == 1
    assert path.read_text() == "rule {"


@pytest.mark.parametrize("arguments", [["--help"], ["check", "{rules}"], ["--version"]])
def test_command_line_starts_at_once(rule_file: Path, arguments: list[str]) -> None:
    """In processor time, and in units of this machine's bare interpreter: a busy one is no slower
    start of ours."""
    filled = command(*(part.format(rules=rule_file) for part in arguments))
    bare = min(_processor_seconds([sys.executable, "-c", "pass"]) for _ in range(5))
    allowed = START_SECONDS_MAX * max(1.0, bare / BARE_INTERPRETER_SECONDS)
    assert min(_processor_seconds(filled) for _ in range(5)) < allowed


def _processor_seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
