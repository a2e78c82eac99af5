"""Tables and lists of the state in the store: what is declared, how many rows, rows by key."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_checks import Api, problem

from cep.deployment.deployer import Deployer
from cep.fold import Fold
from cep.store.deployments import SqlDeployments
from cep.tables.files import FileSource
from cep.tables.sources import load

RULES = """
event Pay { ts: timestamp @time  card: string  shop: string  ip: ip  amount: int }
table shops  { shop: string @pk  risk: decimal(2)  since: timestamp?  tier: int? }
  from file "shops.ndjson"
table shops_old { shop: string @pk  risk: float }
table prices { shop: string @pk  item: int @pk  price: decimal(2) }
table unread { id: string @pk  what: string }
list watched: [string] = ["c1", "c2"]
list nets: [cidr] = ["10.0.0.0/8", "10.1.0.0/16"]
rule risky "Risky" {
  by card
  match p: Pay[shops[shop]?.risk > 0.5 and card in watched and ip in nets
    and shops_old[shop]?.risk > 0.1 and prices[shop, amount]?.price > 1.00]
  alert "{card}"
}
"""
SHOPS = b"""{"shop": "s1", "risk": 0.5, "since": "2026-01-01T00:00:00Z"}
{"shop": "s2", "risk": 0.10, "tier": 3}
{"shop": "bad"}
"""


class Stored:
    """The state of a partition, changed as an engine does it."""

    def __init__(self, api: Api, shops: FileSource) -> None:
        self.api = api
        deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
        self.rules = deployer.start({"rules.cep": RULES}).rules
        api.state.deployer = deployer
        self.fold = Fold(self.rules, "events", elsewhere=["shops"])
        load(self.fold, {"shops": shops})
        self._lease = api.store.acquire("events")

    def commit(self) -> None:
        pages = self.fold.changed_pages()
        self.api.store.commit(self._lease, self.fold.checkpoint(), pages, (), ())

    def get(self, path: str = "", **parameters: object) -> Any:
        answer = self.ask(path, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, path: str, **parameters: Any) -> httpx2.Response:
        return self.api.client.get(f"/api/v1/tables{path}", params=parameters)

    def values(self, table: str, **parameters: object) -> list[Any]:
        found = self.get(f"/{table}/rows", **parameters)
        return [one["values"] for one in found["items"]]


@pytest.fixture
def stored(api: Api, tmp_path: Any) -> Stored:
    file = tmp_path / "shops.ndjson"
    file.write_bytes(SHOPS)
    stored = Stored(api, FileSource(file))
    stored.commit()
    return stored


def test_what_is_declared_is_listed(stored: Stored) -> None:
    items = {one["name"]: one for one in stored.get()["items"]}
    assert list(items) == ["shops", "shops_old", "prices", "unread", "watched", "nets"]
    assert items["shops"]["source"] == {"kind": "file", "address": "shops.ndjson"}
    assert items["shops"]["fields"][:2] == [
        {"name": "shop", "type": "string", "optional": False, "key": True},
        {"name": "risk", "type": "decimal", "optional": False, "key": False},
    ]
    assert [items[name]["read"] for name in ("shops", "unread")] == [True, False]
    assert [items[name]["written"] for name in ("shops", "watched")] == [False, True]
    assert (items["nets"]["kind"], items["nets"]["fields"][0]["type"]) == ("list", "cidr")


def test_what_is_known_of_a_table(stored: Stored) -> None:
    shops = stored.get("/shops")
    known = [shops[name] for name in ("partition", "loaded", "rows", "bad_rows")]
    assert known == ["events", True, 2, 1]
    assert shops["changed"] == {"position": 0, "at": None}
    old = stored.get("/shops_old")
    assert (old["loaded"], old["rows"], old["changed"]) == (False, 0, None)
    assert stored.get("/unread")["rows"] == 0


def test_rows_have_their_values_as_json(stored: Stored) -> None:
    first = {"shop": "s1", "risk": 0.5, "since": "2026-01-01T00:00:00.000Z", "tier": None}
    second = {"shop": "s2", "risk": 0.1, "since": None, "tier": 3}
    assert stored.values("shops") == [first, second]
    assert stored.values("watched") == [{"value": "c1"}, {"value": "c2"}]
    assert stored.values("unread") == stored.values("shops_old") == []


def test_pages_give_each_row_once_and_then_what_is_written_later(stored: Stored) -> None:
    stored.fold.change_rows("shops_old", [{"shop": f"s{n}", "risk": n} for n in range(7)])
    stored.commit()
    found = stored.get("/shops_old/rows", limit=3)
    pages = [found["items"]]
    while found["more"]:
        found = stored.get("/shops_old/rows", limit=3, cursor=found["next"])
        pages.append(found["items"])
    cursor = found["next"]
    seen = [[one["values"]["shop"] for one in page] for page in pages]
    assert seen == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s6"]]
    assert stored.values("shops_old", cursor=cursor) == []
    stored.fold.change_rows("shops_old", [{"shop": "s3", "risk": 9}], ["s4"])
    assert stored.values("shops_old", cursor=cursor) == []  # it is not committed yet
    stored.commit()
    assert stored.values("shops_old", cursor=cursor) == [{"shop": "s3", "risk": 9.0}]
    assert [one["shop"] for one in stored.values("shops_old")] == [
        f"s{n}" for n in (0, 1, 2, 5, 6, 3)
    ]


def test_rows_are_looked_up_by_key(stored: Stored) -> None:
    stored.fold.change_rows("prices", [{"shop": "s1", "item": n, "price": n} for n in (1, 2)])
    stored.commit()
    assert [one["tier"] for one in stored.values("shops", key="s2")] == [3]
    assert stored.values("shops", key="s3") == []
    assert stored.values("prices", key=["s1", "2"]) == [{"shop": "s1", "item": 2, "price": 2}]
    assert stored.values("nets", key="10.1.2.3") == [{"value": "10.1.0.0/16"}]
    assert stored.values("nets", key="10.2.2.3") == [{"value": "10.0.0.0/8"}]
    assert stored.values("nets", key="192.0.2.1") == []


@pytest.mark.parametrize(
    ("table", "key"),
    [("prices", "s1"), ("prices", ["s1", "two"]), ("shops", ["a", "b"]), ("nets", "x")],
)
def test_keys_that_a_table_cannot_have_are_refused(stored: Stored, table: str, key: Any) -> None:
    found = problem(stored.ask(f"/{table}/rows", key=key), 422, "invalid-parameters")
    assert [one["parameter"] for one in found["errors"]] == ["key"]


def test_what_is_not_there(stored: Stored) -> None:
    problem(stored.ask("/nothing"), 404, "not-found")
    problem(stored.ask("/nothing/rows"), 404, "not-found")
    problem(stored.ask("/shops/rows", partition="other"), 404, "not-found")


def test_look_ups_do_not_gather_in_memory(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.limits.LOOK_UPS_OF_KEPT_MAX", 3)
    for number in range(10):
        assert stored.values("shops", key=f"unknown {number}") == []
    (kept,) = stored.api.state.tables._kept.values()
    assert len(kept.strings) < 10
    for table in ("watched", "nets", "shops"):
        stored.values(table)
    assert [name for _, name in stored.api.state.tables._kept] == ["nets", "shops"]
