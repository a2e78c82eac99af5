"""Files of rows: what fits is read, what does not is named with its line, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

import cep
from cep.errors import SourceError, UsageError
from cep.fold import Fold
from cep.tables.files import FileSource
from cep.tables.reading import Read
from cep.tables.sources import given_rows, load, sources_of
from dsl.model import Table
from matcher.lookup.table import Table as Rows
from matcher.strings import Strings

RULES = """
event E { ts: timestamp @time  host: string  ip: ip  n: int }
table servers {
  host: string @pk
  owner: string
  tier: int?
  cost: decimal(2)?
  live: bool?
  seen: timestamp?  @path("Last Seen")
  kind: enum("web", "db")?
  ip: ip?
  share: float?
} from file "servers.csv"
table prices { shop: string @pk  item: int @pk  price: float }
list  exits: [cidr] from file "exits.txt"
list  names: [string] from file "names.txt"
list  numbers: [int]
rule all {
  match e: E[servers[host]?.owner == "x" or ip in exits or host in names or n in numbers
             or prices[host, n]?.price > 1.0]
  alert "x"
}
"""
RULE_SET = cep.compile(RULES)
TABLES = {**RULE_SET.tables, **RULE_SET.lists}


def read(path: Path, name: str) -> tuple[Read, list[dict[str, object]]]:
    """What a file gives, and its rows in scalar form."""
    strings = Strings()
    table = TABLES[name]
    found = FileSource(path).read(table, strings)
    return found, scalars(table, found, strings)


def scalars(table: Table, found: Read, strings: Strings) -> list[dict[str, object]]:
    rows = Rows(table, strings)
    rows.replace(found.columns, 0, 0)
    return [
        {
            field.name: value
            for field in table.fields
            if (value := rows.scalar(field.name, version)) is not None
        }
        for version in range(rows.size)
    ]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv_is_read_by_the_types_of_the_table(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "s.csv",
        "\ufefftier,owner,host,Last Seen,live,kind,ip,cost,share,other\n"
        '2,"x, y",a,2026-01-01T00:00:00Z,TRUE,db,10.0.0.1,1.25,0.5,?\n'
        "\n"
        ' -3 ,"",b,1767225600000,0,, ::FFFF:10.0.0.2 ,.5,1e-3,?\n'
        "1,last,c,,,,,,,?\n",
    )
    found, rows = read(path, "servers")
    assert (found.bad_rows, found.problems) == (0, ())
    assert rows == [
        {"host": "a", "owner": "x, y", "tier": 2, "cost": 125, "live": True, "kind": "db"}
        | {"seen": 1767225600000, "ip": "10.0.0.1", "share": 0.5},
        {"host": "b", "owner": "", "tier": -3, "cost": 50, "live": False}
        | {"seen": 1767225600000, "ip": "10.0.0.2", "share": 0.001},
        {"host": "c", "owner": "last", "tier": 1},
    ]


def test_bad_rows_are_named_with_their_line_and_the_others_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "s.csv",
        'host,owner,tier,kind\na,"two\nlines",1,web\nb,x,many,web\n,x,1,web\nc,x\nd,x,,tape\n'
        "a,again,1,web\ne,x,1.0,web\nf,x,9223372036854775808,web\n",
    )
    found, rows = read(path, "servers")
    assert [row["host"] for row in rows] == ["a", "e"]
    assert found.bad_rows == 6
    assert found.problems == (
        f"{path}:4: tier: 'many' is not a number",
        f"{path}:5: host: missing, and not optional",
        f"{path}:6: 2 columns, and the header has 4",
        f"{path}:7: kind: 'tape' is not one of web, db",
        f"{path}:10: tier: out of 64 bits",
        f"{path}:8: its key has come before, at {path}:2",
    )


def test_a_missing_column_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "s.csv", "Host,owner\na,x\n")
    with pytest.raises(SourceError, match=r"s\.csv:1: no column 'host'; the header has Host, own"):
        read(path, "servers")
    with pytest.raises(SourceError, match="the header has nothing"):
        read(write(tmp_path, "e.csv", ""), "servers")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("s.csv", b'host,owner\na,"x\n', "s.csv, line 2 or before: unexpected end of data"),
        ("s.csv", b"host,owner\na,\xff\n", "is not UTF-8 text"),
        ("s.txt", b"host,owner\n", r"a file that ends in \.csv"),
        ("s.parquet", b"PAR1", "is not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_error(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        read(write(tmp_path, name, data), "servers")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as missing:
        read(tmp_path / "none.csv", "servers")
    assert str(missing.value) == (
        f"servers: there is no file {tmp_path}/none.csv; "
        "make it, or name another with --table servers=FILE"
    )


def test_ndjson_is_read_as_events_are(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "s.ndjson",
        '{"host": "a", "owner": "x", "tier": 2, "cost": "1.5", "Last Seen": 5}\n\n'
        '{"host": "b"}\n{"host": "c", "owner": 3}\n[1]\n{"host":\n'
        '{"host": "d", "owner": {"x": 1}}\n{"host": "e", "owner": "x", "tier": 1e300}\n',
    )
    found, rows = read(path, "servers")
    assert rows == [{"host": "a", "owner": "x", "tier": 2, "cost": 150, "seen": 5}]
    assert found.bad_rows == 6
    assert found.problems == (
        f"{path}:3: owner: missing, and not optional",
        f"{path}:4: owner: expected string, got number",
        f"{path}:5: expected an object",
        f"{path}:6: not JSON: Expecting value at character 9",
        f"{path}:7: owner: expected one value, got dict",
        f"{path}:8: tier: out of 64 bits",
    )


def test_lines_of_a_list(tmp_path: Path) -> None:
    path = write(
        tmp_path, "l.txt", "# exits\n10.0.0.9/8 ; SBL1\n\n 192.0.2.1\t# one\n2001:DB8::/32\nx\n"
    )
    found, rows = read(path, "exits")
    assert [row["value"] for row in rows] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
    assert found.problems == (f"{path}:6: value: 'x' is not a network",)
    path = write(tmp_path, "n.txt", "a b # c\n#d\na b # c\n")
    assert read(path, "names")[1] == [{"value": "a b # c"}]
    path = write(tmp_path, "n.jsonl", '3\n"4"\n5\n')
    found, rows = read(path, "numbers")
    assert [row["value"] for row in rows] == [3, 5]
    assert found.problems == (f"{path}:2: value: expected int, got string",)


def test_keys_of_several_parts_repeat_as_a_whole(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "shop,item,price\na,1,1\na,2,1\nb,1,1\na,1,2\na,1,3\n")
    found, rows = read(path, "prices")
    assert len(rows) == 3
    assert found.problems == (
        f"{path}:5: its key has come before, at {path}:2",
        f"{path}:6: its key has come before, at {path}:2",
    )


FRAME = {"host": ["a", "b"], "owner": ["x", None], "tier": [1, None], "cost": [1.5, 2.25]}


@pytest.mark.parametrize("kind", ["arrow", "pandas", "polars", "parquet", "dicts", "bytes"])
def test_rows_of_programs_mean_the_same(tmp_path: Path, kind: str) -> None:
    arrow = pyarrow.table(FRAME)
    given: object = {
        "arrow": arrow,
        "pandas": pandas.DataFrame(FRAME).astype({"tier": "Int64"}),
        "polars": polars.DataFrame(FRAME),
        "parquet": tmp_path / "s.parquet",
        "dicts": iter(arrow.to_pylist()),
        "bytes": b'{"host":"a","owner":"x","tier":1,"cost":1.5}\n{"host":"b","cost":2.25}\n',
    }[kind]
    pyarrow.parquet.write_table(arrow, tmp_path / "s.parquet")
    strings = Strings()
    (source,) = given_rows({"servers": given}).values()
    found = source.read(TABLES["servers"], strings)
    assert scalars(TABLES["servers"], found, strings) == [
        {"host": "a", "owner": "x", "tier": 1, "cost": 150}
    ]
    assert found.bad_rows == 1
    assert "missing, and not optional" in found.problems[0]


def test_names_given_must_be_declared() -> None:
    with pytest.raises(UsageError, match="no table or list 'servrs'; did you mean servers"):
        sources_of(RULE_SET, given_rows({"servrs": []}))


def test_a_source_that_goes_away_later_leaves_its_rows(tmp_path: Path) -> None:
    (tmp_path / "r.cep").write_text(RULES)
    for name, text in (("servers.csv", "host,owner\na,x\n"), ("exits.txt", ""), ("names.txt", "")):
        write(tmp_path, name, text)
    rules = cep.compile(tmp_path / "r.cep")
    said: list[str] = []
    fold = Fold(rules, "p")
    sources = sources_of(rules, {})
    assert load(fold, sources, said.append)
    assert not load(fold, sources, said.append)
    (tmp_path / "servers.csv").unlink()
    assert not load(fold, sources, said.append)
    assert fold.tables.holds("servers", ("a",), 0)
    assert [sentence.rpartition("; ")[2] for sentence in said] == ["its rows stay as they were"]
    with pytest.raises(SourceError, match="there is no file"):
        load(Fold(rules, "p"), sources)
