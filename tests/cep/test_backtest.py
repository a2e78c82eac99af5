"""Back-tests against `cep.detect` on both rule sets: the same detections, compared naively."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pytest
from engine_cases import BASE_MS, EVENTS, RULES, events
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import cep
from cep import limits
from cep.backtest import difference
from cep.backtest.history import open_history
from cep.backtest.question import Question, Range
from cep.backtest.run import Run
from cep.backtest.tally import Buckets
from cep.detection import Detection
from cep.errors import UsageError
from cep.load import load_text
from cep.log.sqlite import SqliteLog
from cep.log.topics import Topic
from cep.ports import SystemClock
from dsl.model import RuleSet

BEFORE = load_text(RULES)
VARIANTS = {
    "the same": RULES,
    "another message": RULES.replace("stays open", "stays OPEN"),
    "another severity": RULES.replace("severity medium", "severity high"),
    "another field": RULES.replace("ratio: large.amount", "ratio: 2 * large.amount"),
    "longer": RULES.replace("within 1m", "within 2m"),
    "shorter": RULES.replace("within 20s", "within 10s"),
    "a later deadline": RULES.replace("for 30s", "for 40s"),
    "suppressed for longer": RULES.replace("for 5m", "for 20m"),
    "without a rule": RULES[: RULES.index("rule hop")],
    "a new rule": RULES + 'rule block "Block" { by card match b: Block alert "{card}" }\n',
    "less late": RULES.replace("lateness 10s", "lateness 5s"),
    "all matches": RULES.replace("match a: Payment -> b", "match a: Payment ->> b").replace(
        "after match no skip", "matches all limit 100 runs"
    ),
}


def essence(found: Detection) -> tuple[object, ...]:
    positions = tuple(event.position for event in found.events)
    return (found.rule, orjson.dumps(found.key), found.at_ms, positions)


def said(found: Detection) -> tuple[object, ...]:
    return (found.severity, found.message, str(found.fields), found.suppressed_by is not None)


def compared(now: Iterable[Detection], was: Iterable[Detection]) -> dict[str, Counter[str]]:
    """By rule, the four counts; as many are the same, and then as many changed, as can be."""
    sides: list[dict[object, Counter[object]]] = []
    for detections in (now, was):
        by_essence: dict[object, Counter[object]] = {}
        for found in detections:
            by_essence.setdefault(essence(found), Counter())[said(found)] += 1
        sides.append(by_essence)
    counts: dict[str, Counter[str]] = {}
    for which in sides[0].keys() | sides[1].keys():
        first, second = (side.get(which, Counter()) for side in sides)
        same = (first & second).total()
        left, right = first.total() - same, second.total() - same
        rule = which[0]  # type: ignore[index]  # an essence is a tuple
        counts.setdefault(rule, Counter()).update(
            same=same,
            changed=min(left, right),
            added=max(0, left - right),
            lost=max(0, right - left),
        )
    return counts


def run(question: Question, source: str | Path, listed_max: int = 10_000) -> Any:
    history = open_history(str(source))
    test = Run(question, history, listed_max)
    for _ in test.steps():
        pass
    history.close()
    return json.loads(test.result().to_json())


def write(folder: Path, lines: Iterable[bytes]) -> Path:
    path = folder / "events.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def check(result: Any, now: list[Detection], was: list[Detection]) -> None:
    wanted = compared(now, was)
    for row in result["rules"]:
        counts = wanted.get(row["rule"], Counter())
        for name in ("same", "changed", "added", "lost"):
            assert row[name] == counts[name], (row["rule"], name)
        mine = [found for found in now if found.rule == row["rule"]]
        assert row["found"] == len(mine)
        assert row["suppressed"] == sum(found.suppressed_by is not None for found in mine)
        assert row["baseline_found"] == sum(found.rule == row["rule"] for found in was)
    assert {one["id"] for one in result["listed"]["found"]} == {found.id for found in now}
    for name in ("added", "lost", "changed"):
        assert len(result["listed"][name]) == result["totals"][name]
    for column, total in result["totals"].items():
        assert total == sum(row[column] for row in result["rules"])
        assert total == sum(row[column] for row in result["buckets"]["items"]), column


@settings(max_examples=25, deadline=None)
@given(
    variant=st.sampled_from(sorted(VARIANTS)),
    seed=st.integers(0, 1_000),
    batch=st.sampled_from([1, 7, 100, 65_536]),
)
def test_the_difference_is_that_of_what_both_detect(
    tmp_path_factory: pytest.TempPathFactory, variant: str, seed: int, batch: int
) -> None:
    folder = tmp_path_factory.mktemp("backtest")
    path = write(folder, events(150, seed))
    candidate = load_text(VARIANTS[variant])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BATCH_RECORDS_MAX", batch)
        patch.setattr(difference, "_LOOK_MIN", 4)
        result = run(Question(candidate, BEFORE), path)
    check(result, list(cep.detect(candidate, path)), list(cep.detect(BEFORE, path)))


@pytest.mark.parametrize("batch", [3, 50, 65_536])
def test_the_answer_does_not_depend_on_how_the_log_is_read(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, events(400, 5))
    question = Question(load_text(VARIANTS["shorter"]), BEFORE)
    whole = run(question, path, 3)
    monkeypatch.setattr(limits, "BATCH_RECORDS_MAX", batch)
    monkeypatch.setattr(difference, "_LOOK_MIN", 2)
    assert run(question, path, 3) == whole


def test_lists_have_the_first_and_counts_have_all(tmp_path: Path) -> None:
    path = write(tmp_path, events(400, 5))
    question = Question(load_text(VARIANTS["shorter"]), BEFORE)
    whole, cut = run(question, path), run(question, path, 3)
    assert cut["totals"] == whole["totals"]
    for name, shown in whole["listed"].items():
        assert cut["listed"][name] == shown[:3]
        assert [one["at"] for one in shown if "at" in one] == sorted(
            one["at"] for one in shown if "at" in one
        )


def pay(ts_ms: int, amount: float, card: str = "c", kind: str = "Payment") -> bytes:
    return orjson.dumps({"type": kind, "ts": ts_ms, "card": card, "amount": amount})


LARGE = EVENTS + 'rule large "L" { by card match p: Payment[amount > 100] alert "{p.amount}" }\n'


def test_what_changed_is_shown_as_it_was_and_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, [pay(BASE_MS, 200), pay(BASE_MS + 1, 50)])
    now = load_text(LARGE.replace("rule large", "rule large").replace('"{p.amount}"', '"! {card}"'))
    (changed,) = run(Question(now, load_text(LARGE)), path)["listed"]["changed"]
    assert (changed["now"]["message"], changed["was"]["message"]) == ("! c", "200")
    assert changed["now"]["id"] != changed["was"]["id"], "ids have the version in them"


def test_one_rule_is_looked_at_with_what_it_reads(tmp_path: Path) -> None:
    text = (
        EVENTS
        + """
event Big { ts: timestamp @time  card: string }
rule big "B" { by card match p: Payment[amount > 100] emit Big { card: p.card } }
rule two "T" { by card match Big -> Big within 1m alert "{card}" }
rule other "O" { by card match p: Payment alert "{card}" }
"""
    )
    path = write(tmp_path, [pay(BASE_MS, 200), pay(BASE_MS + 1, 300), pay(BASE_MS + 2, 1)])
    result = run(Question(load_text(text), None, "two"), path)
    assert result["rules"] == [
        {"rule": "two", "found": 1, "suppressed": 0, "alerts": 1, "capped": 0}
    ]
    fewer = load_text(text.replace("amount > 100", "amount > 250"))
    against = run(Question(fewer, load_text(text), "two"), path)
    assert [row["rule"] for row in against["rules"]] == ["two"]
    assert (against["totals"]["found"], against["totals"]["lost"]) == (0, 1)


def time_of(line: bytes) -> object:
    try:
        return orjson.loads(line).get("ts")
    except (orjson.JSONDecodeError, AttributeError):
        return None


def test_events_outside_of_the_times_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    lines = events(400, 3)
    since_ms, until_ms = BASE_MS + 30_000, BASE_MS + 120_000
    times = [time_of(line) for line in lines]
    path = write(tmp_path, lines)
    rules = load_text(RULES[: RULES.index("rule unblocked")] + RULES[RULES.index("rule hop") :])
    result = run(Question(rules, range=Range(since_ms, until_ms)), path)
    blank = [
        line if isinstance(ts, int) and since_ms <= ts < until_ms else b""
        for line, ts in zip(lines, times, strict=True)
    ]
    wanted = {found.id for found in cep.detect(rules, write(tmp_path, blank))}
    assert {one["id"] for one in result["listed"]["found"]} == wanted
    assert wanted
    assert result["since"] <= result["first_at"] <= result["last_at"] < result["until"]
    assert result["warm_up_ms"] == 60_000
    counters = result["counters"]
    assert counters["received"] == sum(
        counters[name] for name in ("processed", "late", "dead_lettered", "quarantined", "ignored")
    )


def test_time_stands_where_the_range_ends(tmp_path: Path) -> None:
    """An absence is decided when it was due before that."""
    path = write(tmp_path, [pay(BASE_MS, 950), pay(BASE_MS + 200_000, 1)])
    for until_ms, found in ((BASE_MS + 29_999, 0), (BASE_MS + 30_001, 1)):
        question = Question(BEFORE, None, "unblocked", Range(until_ms=until_ms))
        assert run(question, path)["totals"]["found"] == found
    log = SqliteLog(str(tmp_path / "x.db"), "events")
    log.append("events", pay(BASE_MS, 950) + b"\n")
    log.close()
    going_on = run(Question(BEFORE, None, "unblocked"), tmp_path / "x.db")
    assert going_on["totals"]["found"] == 0, "a log that goes on has not ended"


def test_positions_bound_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, [pay(BASE_MS + i, 200) for i in range(10)])
    database = tmp_path / "x.db"
    log = SqliteLog(str(database), "events")
    for start in range(0, 10, 4):
        log.append("events", b"".join(path.read_bytes().splitlines(True)[start : start + 4]))
    log.close()
    table = pyarrow.Table.from_pylist([json.loads(line) for line in path.read_bytes().splitlines()])
    parquet.write_table(table, tmp_path / "x.parquet")
    for source in (path, database, tmp_path / "x.parquet"):
        asked = Range(first_position=3, end_position=7)
        result = run(Question(load_text(LARGE), range=asked), source)
        (part,) = result["partitions"]
        assert (part["first_position"], part["end_position"]) == (3, 7)
        assert result["records"] == 4
        found = [one["events"][0]["position"] for one in result["listed"]["found"]]
        assert found == [], "they wait for the watermark, as more comes behind"
        through = Range(first_position=3, end_position=7, until_ms=BASE_MS + 60_000)
        result = run(Question(load_text(LARGE), range=through), source)
        found = [one["events"][0]["position"] for one in result["listed"]["found"]]
        assert found == [3, 4, 5, 6]


def test_files_of_columns_are_read(tmp_path: Path) -> None:
    rows = [
        {"type": "Payment", "ts": BASE_MS + i, "card": "c", "amount": 100.0 * i} for i in range(4)
    ]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "e.parquet")
    with (
        pyarrow.OSFile(str(tmp_path / "e.arrow"), "wb") as sink,
        pyarrow.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    with (
        pyarrow.OSFile(str(tmp_path / "s.arrow"), "wb") as sink,
        pyarrow.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    for name in ("e.parquet", "e.arrow", "s.arrow"):
        result = run(Question(load_text(LARGE)), tmp_path / name)
        assert result["totals"]["found"] == 2, name
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(cep.errors.SourceError, match=r"bad\.parquet"):
        run(Question(load_text(LARGE)), tmp_path / "bad.parquet")


def test_chunks_that_cannot_hold_an_event_of_the_range_are_not_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came long before `since` is passed by; what is said of the rest is the same."""

    class Then(SystemClock):
        at_ms = BASE_MS

        def now_ms(self) -> int:
            return self.at_ms

    clock = Then()
    log = SqliteLog(str(tmp_path / "x.db"), "events", clock=clock)
    for hour in range(5):
        clock.at_ms = BASE_MS + hour * 3_600_000
        log.append("events", pay(clock.at_ms, 200 + hour) + b"\n")
    log.close()
    since_ms = BASE_MS + 2 * 3_600_000
    asked = Range(since_ms, since_ms + 5 * 3_600_000)
    result = run(Question(load_text(LARGE), range=asked), tmp_path / "x.db")
    assert [one["message"] for one in result["listed"]["found"]] == ["202", "203", "204"]
    assert result["counters"]["processed"] == 3
    history = open_history(str(tmp_path / "x.db"))
    monkeypatch.setattr(limits, "BATCH_RECORDS_MAX", 1)
    folded = [piece.first_position for piece in history.pieces("events", asked)]
    assert folded == [2, 3, 4]
    history.close()


def test_all_partitions_are_read(tmp_path: Path) -> None:
    database = str(tmp_path / "x.db")
    log = SqliteLog(database, "events")
    log.declare(Topic("events", 3, "card"))
    lines = [line for line in events(300, 4) if b'"card"' in line]
    log.publish(b"".join(line + b"\n" for line in lines))
    log.close()
    late_ms = BASE_MS + 86_400_000
    candidate = load_text(VARIANTS["shorter"])
    result = run(Question(candidate, BEFORE, range=Range(until_ms=late_ms)), database)
    assert len(result["partitions"]) == 3
    check(result, list(cep.detect(candidate, database)), list(cep.detect(BEFORE, database)))
    with pytest.raises(UsageError, match="positions are those of one partition"):
        run(Question(BEFORE, range=Range(first_position=1)), database)
    other = load_text(EVENTS + 'rule all "A" { match p: Payment alert "x" }')
    with pytest.raises(UsageError, match="rule all"):
        run(Question(other), database)


def test_alerts_are_episodes(tmp_path: Path) -> None:
    """One per key, until the rule resolves it or nothing came for a day."""
    day_ms = limits.BACKTEST_EPISODE_MS
    text = EVENTS + (
        'rule large "L" { by card match p: Payment[amount > 100] '
        'resolve on Block alert "{card}" }\n'
    )
    lines = [
        pay(BASE_MS, 200),
        pay(BASE_MS + 1_000, 200),  # joins
        pay(BASE_MS + 2_000, 200, "d"),  # another key
        pay(BASE_MS + 3_000, 0, "c", "Block"),
        pay(BASE_MS + 4_000, 200),  # again
        pay(BASE_MS + 4_000 + day_ms, 200),  # again, as a day has passed
    ]
    result = run(Question(load_text(text)), write(tmp_path, lines))
    assert result["totals"] == {"found": 5, "suppressed": 0, "alerts": 4}
    assert result["forecast"]["alerts_per_day"] == pytest.approx(4, rel=1e-3)


def test_hidden_detections_open_no_alert(tmp_path: Path) -> None:
    text = LARGE.replace("alert", "suppress by card for 1m alert")
    lines = [pay(BASE_MS + i, 200) for i in range(3)]
    result = run(Question(load_text(text)), write(tmp_path, lines))
    assert result["totals"] == {"found": 3, "suppressed": 2, "alerts": 1}


def test_buckets_do_not_depend_on_the_order() -> None:
    times = [seed * seed * 7_919 * 1_000 for seed in range(3 * limits.BACKTEST_BUCKETS_MAX)]
    forwards, backwards = Buckets(), Buckets()
    for at_ms in times:
        forwards.count(at_ms, "found")
    for at_ms in reversed(times):
        backwards.count(at_ms, "found")
    assert list(forwards) == list(backwards)
    assert forwards.width_ms == backwards.width_ms > 60_000
    assert len(list(forwards)) <= limits.BACKTEST_BUCKETS_MAX
    assert sum(counts["found"] for _, counts in forwards) == len(times)


def test_too_many_that_wait_are_settled_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a rule that nothing bounds."""
    monkeypatch.setattr(limits, "BACKTEST_UNMATCHED_MAX", 20)
    monkeypatch.setattr(limits, "BATCH_RECORDS_MAX", 10)
    monkeypatch.setattr(difference, "_LOOK_MIN", 10)
    text = EVENTS + (
        'rule two "T" { by card match Payment -> Payment within unbounded limit 100 runs '
        'alert "x" }'
    )
    path = write(tmp_path, [pay(BASE_MS + i, 1) for i in range(200)])
    result = run(Question(load_text(text), load_text(LARGE)), path)
    assert result["totals"]["added"] == 100
    assert any("compared before the end" in note for note in result["notes"])


def test_a_run_may_be_left_between_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_RECORDS_MAX", 10)
    history = open_history(str(write(tmp_path, events(100, 1))))
    steps = Run(Question(BEFORE), history).steps()
    assert [next(steps).records_read for _ in range(3)] == [0, 10, 20]
    steps.close()
    history.close()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="before it begins"):
        Range(5, 5)
    with pytest.raises(UsageError, match="did you mean hop"):
        Question(BEFORE, None, "hpo")
    with pytest.raises(UsageError, match="no table or list"):
        Question(BEFORE, tables={"x": None})  # type: ignore[dict-item]  # it is not read


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cep.cli", "backtest", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_what_is_different(tmp_path: Path) -> None:
    write(tmp_path, [pay(BASE_MS, 200), pay(BASE_MS + 1_000, 120)])
    (tmp_path / "old.cep").write_text(LARGE)
    (tmp_path / "new.cep").write_text(LARGE.replace("> 100", "> 150"))
    asked = ("new.cep", "--from", "events.ndjson")
    shown = command(tmp_path, *asked, "--baseline", "old.cep")
    assert shown.returncode == 0, shown.stderr
    assert "lost: 1\n  2026-01-01T00:00:01.000Z  large: MEDIUM  120\n" in shown.stdout
    as_json = command(tmp_path, *asked, "--baseline", "old.cep", "--json")
    assert json.loads(as_json.stdout)["totals"]["lost"] == 1
    cut = command(tmp_path, *asked, "--since", "1", "--json")
    assert json.loads(cut.stdout)["totals"]["found"] == 0
    for wrong, code, said in (
        (("--since", "yesterday"), 2, "neither a time"),
        (("--since", "2026-01-01T00:00:00"), 2, "time zone"),
        (("--rule", "lrge"), 2, "large"),
        (("--baseline", "gone.cep"), 2, "gone.cep"),
        (("--baseline", "old.cep", "--store", "x.db"), 2, "exclude"),
    ):
        refused = command(tmp_path, *asked, *wrong)
        assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr
    (tmp_path / "new.cep").write_text("rule {")
    assert command(tmp_path, *asked).returncode == 1


def test_the_command_compares_with_what_is_deployed(tmp_path: Path) -> None:
    write(tmp_path, [pay(BASE_MS, 200), pay(BASE_MS + 1_000, 120)])
    (tmp_path / "r.cep").write_text(LARGE + 'rule any "A" { by card match Payment alert "x" }\n')
    run_ = [sys.executable, "-m", "cep.cli", "run", "r.cep", "--from", "events.ndjson"]
    subprocess.run([*run_, "--store", "s.db"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "large.cep").write_text(
        'rule large "L" { by card match p: Payment[amount > 150] alert "{p.amount}" }'
    )
    shown = command(
        *(tmp_path, "large.cep", "--from", "events.ndjson", "--store", "s.db", "--json")
    )
    rows = {row["rule"]: row for row in json.loads(shown.stdout)["rules"]}
    assert (rows["large"]["lost"], rows["large"]["same"]) == (1, 1)
    assert (rows["any"]["lost"], rows["any"]["same"]) == (0, 2)


def rule_names(rules: RuleSet) -> list[str]:
    return [rule.name for rule in rules.rules]


def test_rules_of_both_are_counted() -> None:
    question = Question(load_text(VARIANTS["a new rule"]), load_text(VARIANTS["without a rule"]))
    assert question.names == ("escalation", "unblocked", "hop", "block")
    assert rule_names(question.needed(question.candidate)) == list(question.names)
