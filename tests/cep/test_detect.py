"""`cep.compile` and `cep.detect`: every kind of events gives what the engine gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pandas
import polars
import pyarrow
import pytest
from engine_cases import BASE_MS, RULES, events, fold_all, records, rules

import cep
from cep.detection import Detection
from cep.detection_json import to_json
from cep.errors import RulesError, UsageError
from cep.fold import Fold

RULE_SET = rules()
ROWS: list[dict[str, object]] = [
    {"type": "Payment", "ts": BASE_MS, "card": "c", "amount": 1.5, "country": "FR"},
    {"type": "Payment", "ts": BASE_MS + 1000, "card": "d", "amount": 20.0, "country": None},
    {"type": "Payment", "ts": BASE_MS + 5000, "card": "c", "amount": 600.25, "country": "FR"},
    {"type": "Block", "ts": BASE_MS + 6000, "card": "c", "amount": None, "country": None},
    {"type": "Payment", "ts": BASE_MS + 7000, "card": "d", "amount": 901.0, "country": "DE"},
]
KINDS: dict[str, Callable[[list[dict[str, object]]], object]] = {
    "dicts": lambda rows: rows,
    "generator of dicts": lambda rows: (row for row in rows),
    "bytes": lambda rows: b"\n".join(map(orjson.dumps, rows)),
    "arrow table": pyarrow.Table.from_pylist,
    "pandas frame": pandas.DataFrame,
    "polars frame": polars.DataFrame,
}


def essence(found: Detection) -> tuple[object, ...]:
    return (
        found.id,
        found.rule,
        found.at_ms,
        found.message,
        found.fields,
        [(event.step, event.position) for event in found.events],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_events_gives_the_same_detections(kind: str) -> None:
    found = [essence(one) for one in cep.detect(RULE_SET, KINDS[kind](ROWS))]
    wanted = [essence(one) for one in cep.detect(RULE_SET, KINDS["bytes"](ROWS))]
    assert found == wanted
    assert [one[1] for one in found] == ["escalation", "hop", "unblocked"]


def test_detect_gives_what_the_fold_gives() -> None:
    lines = events(300, 9)
    data = b"".join(line + b"\n" for line in lines)
    found = list(cep.detect(RULE_SET, data, partition="p"))
    assert [to_json(one) for one in found] == [
        orjson.dumps(orjson.loads(body)) for body in fold_all(RULE_SET, lines)[0].bodies
    ]
    fold = Fold(RULE_SET, "p")
    folded = [*fold.step(records(lines, 0, 300)).detections, *fold.finish().detections]
    assert found == [one.detection for one in folded]


def test_path_names_a_log(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"\n".join(map(orjson.dumps, ROWS)))
    for named in (path, str(path)):
        found = [one.rule for one in cep.detect(RULE_SET, named)]
        assert found == ["escalation", "hop", "unblocked"]
    with pytest.raises(UsageError, match="no such file"):
        list(cep.detect(RULE_SET, tmp_path / "missing"))


def test_rules_come_from_text_a_file_a_folder_or_several(tmp_path: Path) -> None:
    (tmp_path / "a.cep").write_text(RULES)
    other = tmp_path / "b.cep"
    other.write_text('rule more { severity low  match x: Block  alert "x" }')
    assert len(cep.compile(RULES).rules) == 3
    assert len(cep.compile(tmp_path / "a.cep").rules) == 3
    assert len(cep.compile(str(tmp_path)).rules) == 4
    assert len(cep.compile([tmp_path / "a.cep", str(other)]).rules) == 4
    found = cep.detect(tmp_path / "a.cep", ROWS)
    assert next(found).rule == "escalation"


def test_text_that_does_not_compile_raises_with_every_diagnostic() -> None:
    with pytest.raises(RulesError) as caught:
        cep.compile("event E { ts: timestamp @time }\nrule r { match x: F }\nrule q { match x: G }")
    assert "<text>:2:" in caught.value.report
    assert "<text>:3:" in caught.value.report


@pytest.mark.parametrize("name", ["", "x" * 201, r"a\u0000b"])
def test_a_destination_that_no_store_can_keep_is_refused(name: str) -> None:
    rules = 'event E { ts: timestamp @time }\nrule r { match E within 1m alert "x" notify "%s" }'
    cep.compile(rules % ("x" * 200))
    with pytest.raises(RulesError, match="1 to 200 printable characters"):
        cep.compile(rules % name)


def test_bad_events_are_left_out() -> None:
    found = list(cep.detect(RULE_SET, [{"type": "Payment"}, *ROWS, {"type": "Payment", "ts": "x"}]))
    assert [one.events[0].position for one in found] == [1, 2, 5]
