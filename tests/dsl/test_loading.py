"""Files and folders as one namespace, and diagnostics as people and programs read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dsl
from dsl.strings import duration_ms, duration_text, quote, timestamp_ms, unescape

EVENT = "event A { ts: timestamp @time  x: int }\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.cep").write_text(text, encoding="utf-8")
    return folder


def test_files_of_a_folder_share_one_namespace(tmp_path: Path) -> None:
    write(tmp_path, b='rule r { match A[x > 5] alert "x" }', a=EVENT)
    loaded = dsl.load([tmp_path])
    assert loaded.diagnostics == ()
    assert [rule.name for rule in loaded.require().rules] == ["r"]


def test_the_same_event_may_be_declared_in_two_files(tmp_path: Path) -> None:
    write(tmp_path, a=EVENT, b="event A {\n  ts: timestamp @time // when\n  x: int\n}")
    assert dsl.load([tmp_path]).diagnostics == ()


def test_different_declarations_of_an_event_name_both_places(tmp_path: Path) -> None:
    write(tmp_path, a=EVENT, b="\n" + EVENT.replace("int", "string"))
    (found,) = dsl.load([tmp_path]).diagnostics
    assert found.code == "E015"
    assert found.span.path == str(tmp_path / "b.cep")
    assert f"{tmp_path / 'a.cep'}:1" in found.message


def test_a_rule_of_the_same_name_in_another_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, a=EVENT + 'rule r { match A alert "" }', b='rule r { match A alert "x" }')
    assert [d.code for d in dsl.load([tmp_path]).diagnostics] == ["E014"]


def test_errors_come_in_reading_order_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, a="filter f = Nope\nrule q {", b="filter g = Nope\nfilter h = A[")
    found = dsl.load([tmp_path]).diagnostics
    assert [(Path(d.span.path).stem, d.code) for d in found] == [
        ("a", "E010"),
        ("a", "E008"),
        ("b", "E010"),
        ("b", "E008"),
    ]


def test_a_file_that_is_no_text_is_reported_with_the_others(tmp_path: Path) -> None:
    write(tmp_path, b="filter f = Nope")
    (tmp_path / "a.cep").write_bytes(b"rule \xff\xfe")
    assert [d.code for d in dsl.load([tmp_path]).diagnostics] == ["E009", "E010"]


def test_a_missing_path_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dsl.load([tmp_path / "nosuch.cep"])


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.cep").write_bytes(b"\xef\xbb\xbf" + EVENT.encode())
    assert dsl.load([tmp_path]).diagnostics == ()


def test_a_diagnostic_is_rendered_with_line_caret_and_hint() -> None:
    loaded = dsl.load_sources([dsl.Source("rules/a.cep", EVENT + "filter f = A[y > 5]")])
    assert loaded.render() == (
        "rules/a.cep:2:14: error[E011]: `A` has no field `y`\n"
        "    filter f = A[y > 5]\n"
        "                 ^\n"
        "  help: known: `A`, `ts`, `x`"
    ).replace("`A`, ", "")
    assert loaded.to_json() == [
        {
            "code": "E011",
            "severity": "error",
            "message": "`A` has no field `y`",
            "hint": "known: `ts`, `x`",
            "path": "rules/a.cep",
            "line": 2,
            "column": 14,
            "end_line": 2,
            "end_column": 15,
        }
    ]


def test_warnings_do_not_keep_rules_from_loading() -> None:
    text = "event A { ts: timestamp @time  x: int? }\nfilter f = A[x != 5]"
    loaded = dsl.load_sources([dsl.Source("a", text)])
    assert [d.severity for d in loaded.diagnostics] == ["warning"]
    assert loaded.rules is not None


def test_importing_the_language_loads_no_heavy_library() -> None:
    code = (
        "import sys, dsl, dsl.check, dsl.parser, dsl.format\n"
        "heavy = {'numpy', 'numba', 'sqlalchemy', 'pyarrow', 'fastapi', 're2', 'matcher', 'cep'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("text", "ms"), [("0s", 0), ("1m30s", 90_000), ("250ms", 250), ("1w", 604_800_000)]
)
def test_durations_read_and_print(text: str, ms: int) -> None:
    assert duration_ms(text) == ms
    assert duration_text(ms) == text


def test_timestamps_are_utc_unless_they_say_otherwise() -> None:
    assert timestamp_ms("1970-01-01T00:00:01.5Z") == 1500
    assert timestamp_ms("1970-01-01T01:00:00+01:00") == timestamp_ms("1970-01-01") == 0
    assert timestamp_ms("1969-12-31T23:59:59.999Z") == -1
    assert timestamp_ms("soon") is None


def test_strings_survive_quoting() -> None:
    for value in ('a"b', "line\nbreak", "back\\slash", "é\u200b", "{x}", ""):
        assert unescape(quote(value)) == (value, None)
