"""Alerts and their messages on either store: their whole way, and two who come at once."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, insert, select, text

from alerts import lifecycle, silences
from alerts.alert import ALERTS, Alert, Disposition, alerts_of, locked, write_alerts
from alerts.alert_listings import detections_of, find_alert, list_alerts, newest_history
from alerts.config import Destinations
from alerts.deliveries import read_breakers, replay
from alerts.dispatcher import Dispatcher
from alerts.errors import Refused
from alerts.lifecycle import By
from alerts.listings import list_deliveries
from alerts.matching import Matcher
from alerts.ports import HttpAnswer, ManualClock, SimulatedHttpSender
from cep.ports import Checkpoint, DetectionRow, ResolutionRow
from cep.store.store import SqlStore, open_store, write_resolutions
from cep.store.tables import alert, resolution

NOW_MS = 1_733_813_746_000
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
WHERE = Destinations.model_validate(
    {
        "default": ["soc"],
        "routes": [
            {
                "name": "all",
                "match": {"rule": "ca*"},
                "remind_every": "1h",
                "escalate": [{"after": "15m", "to": ["boss"]}],
            },
            {"name": "calm", "batch": "30s"},
        ],
        "destinations": {
            name: {
                "type": "webhook",
                "url": "https://example.com/hook",
                "secrets": [{"env": "HOOK_SECRET"}],
                "resolved": True,
            }
            for name in ("soc", "boss")
        },
    }
)


class Desk:
    """A store, and a dispatcher on it whose receivers answer with `status`."""

    def __init__(self, store: SqlStore) -> None:
        self.store, self.clock, self.status = store, ManualClock(NOW_MS), 200
        self.sent = SimulatedHttpSender(lambda _: HttpAnswer(self.status, {}, b""))
        self.dispatcher = Dispatcher(
            store.engine, WHERE, clock=self.clock, http=self.sent, jitter=lambda: 0.5
        )
        self._made = 0

    @property
    def engine(self) -> Engine:
        return self.store.engine

    def commit(
        self, *keys: str, rule: str = "card", resolutions: tuple[ResolutionRow, ...] = ()
    ) -> None:
        rows = []
        for key in keys:
            self._made += 1
            id_, at_ms = f"{self._made:032x}", NOW_MS + self._made
            body = json.dumps({"id": id_, "rule": rule, "key": {"card": key}, "message": key})
            rows.append(
                DetectionRow(id_, rule, "0" * 16, "high", at_ms, None, body.encode(), ("default",))
            )
        lease = self.store.acquire("events")
        checkpoint = Checkpoint(rules={})
        self.store.commit(lease, checkpoint, {}, rows, [], resolutions=resolutions)

    def work(self, after_ms: int = 0) -> list[str]:
        """The kinds of what is sent, `after_ms` from now."""
        self.clock.advance(after_ms)
        before = len(self.sent.calls)
        asyncio.run(self.dispatcher.run_once())
        types = [json.loads(body)["type"] for *_, body in self.sent.calls[before:]]
        return sorted(one.removeprefix("cep.").removesuffix(".v1") for one in types)

    def by(self) -> By:
        return By("ada", self.clock.now_ms())


@pytest.fixture
def desk(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"x" * 32).decode())
    store = open_store(store_url)
    yield Desk(store)
    store.close()


def test_the_whole_life_of_alerts(desk: Desk) -> None:
    desk.commit("c1", "c1", "c2")
    assert desk.work() == ["detection"] * 3
    first, second = list_alerts(desk.engine)
    assert (first.detections, second.detections) == (2, 1)
    assert desk.work(15 * MINUTE_MS) == ["alert.escalation"] * 2
    lifecycle.acknowledge(desk.engine, first.id, desk.by())
    lifecycle.comment(desk.engine, first.id, desk.by(), "looking\ninto it")
    assert desk.work(45 * MINUTE_MS) == ["alert.reminder"] * 2  # of the second: soc and boss
    lifecycle.snooze(desk.engine, second.id, desk.by(), desk.clock.now_ms() + HOUR_MS)
    desk.commit("c2")
    assert desk.work() == []
    assert [one.hidden_by for one in detections_of(desk.engine, second.id)] == [None, "snooze"]
    ended = ResolutionRow("r" * 32, "card", b'{"card":"c1"}', NOW_MS + HOUR_MS, 99)
    desk.commit(resolutions=(ended,))
    assert desk.work() == ["alert.resolved"] * 2
    assert find_alert(desk.engine, first.id).state == "resolved"
    assert newest_history(desk.engine, first.id, 2)[-1].action == "resolved"
    desk.commit("c1")
    assert desk.work() == ["detection"]
    with pytest.raises(Refused):
        lifecycle.reopen(desk.engine, first.id, desk.by())


def test_silences_and_what_is_gathered(desk: Desk) -> None:
    made = silences.make_silence(
        desk.engine,
        Matcher(key={"card": ("c1",)}),
        starts_ms=NOW_MS,
        ends_ms=NOW_MS + HOUR_MS,
        actor="ada",
        comment="known",
        now_ms=NOW_MS,
    )
    desk.commit("c1", "c2", "c3", rule="disk")
    assert desk.work() == []
    assert silences.find_silence(desk.engine, made.id).hidden == 1
    assert desk.work(30_000) == ["detections"]
    hidden, told, _ = list_alerts(desk.engine)
    assert list_deliveries(desk.engine, alert_id=hidden.id) == []
    (gathered,) = list_deliveries(desk.engine, alert_id=told.id)
    assert (gathered.kind, gathered.state) == ("gathered", "delivered")
    found = silences.preview(desk.engine, Matcher(rule=("disk",)), lambda _: ())
    assert (len(found.alerts), found.detections) == (3, 3)
    assert silences.end_silence(desk.engine, made.id, NOW_MS + 30_000).ends_ms == NOW_MS + 30_000


def test_a_receiver_that_is_down_keeps_order_and_loses_nothing(desk: Desk) -> None:
    desk.status = 503
    desk.commit(*(f"c{number % 7}" for number in range(21)))
    desk.work()
    states = [one.state for one in list_deliveries(desk.engine)]
    assert (states.count("pending"), states.count("waiting")) == (7, 14)
    assert read_breakers(desk.engine)["soc"].is_open()
    desk.status = 200
    desk.work(2 * MINUTE_MS)
    assert {one.state for one in list_deliveries(desk.engine)} == {"delivered"}
    assert read_breakers(desk.engine) == {}
    order: dict[str, list[str]] = {}
    for *_, body in desk.sent.calls:
        told = json.loads(body)["data"]
        seen = order.setdefault(told["key"]["card"], [])
        seen += [told["id"]] if told["id"] not in seen else []
    assert all(seen == sorted(seen) and len(seen) == 3 for seen in order.values())


def test_dead_messages_are_replayed(desk: Desk) -> None:
    desk.status = 410
    desk.commit("c1", "c1")
    desk.work()
    assert {one.state for one in list_deliveries(desk.engine)} == {"dead"}
    assert replay(desk.engine, desk.clock.now_ms(), destination="soc") == 2


def test_two_alerts_of_a_key_never_go_on_at_once(desk: Desk) -> None:
    """Somebody reopens one while the dispatcher opens another."""
    desk.commit("c1")
    desk.work()
    (first,) = list_alerts(desk.engine)
    lifecycle.resolve(desk.engine, first.id, desk.by(), Disposition.BENIGN)
    said: list[BaseException | Alert] = []

    def reopen() -> None:
        try:
            said.append(lifecycle.reopen(desk.engine, first.id, desk.by()))
        except Exception as error:
            said.append(error)

    with desk.engine.begin() as connection:
        (row,) = connection.execute(ALERTS)
        other = dict(row._mapping) | {"id": "f" * 32, "state": "open", "sequence": 99}
        connection.execute(insert(alert).values(other))
        meanwhile = threading.Thread(target=reopen)
        meanwhile.start()
        wait_until_it_waits(desk.engine)
    meanwhile.join(60)
    assert isinstance(said[0], Refused)
    with desk.engine.connect() as connection:
        going_on = alerts_of(connection, ALERTS.where(alert.c.state != "resolved"))
    assert [one.id for one in going_on] == ["f" * 32]


def test_a_silence_ends_while_timers_write_that_an_alert_waits_for_it(desk: Desk) -> None:
    desk.commit("c1")
    desk.work()
    now_ms = desk.clock.now_ms() + HOUR_MS
    made = silences.make_silence(
        desk.engine,
        Matcher(rule=("card",)),
        starts_ms=now_ms,
        ends_ms=now_ms + 24 * HOUR_MS,
        actor="ada",
        comment="known",
        now_ms=now_ms,
    )
    with desk.engine.begin() as connection:
        (one,) = alerts_of(connection, locked(ALERTS.where(alert.c.due_ms <= now_ms)))
        one.due_ms = made.ends_ms
        ending = threading.Thread(
            target=silences.end_silence, args=(desk.engine, made.id, now_ms + 1)
        )
        ending.start()
        wait_until_it_waits(desk.engine)
        write_alerts(connection, [], [one])
    ending.join(60)
    assert list_alerts(desk.engine)[0].due_ms == now_ms + 1


def test_resolutions_are_seen_in_the_order_of_their_numbers(desk: Desk) -> None:
    """Else the dispatcher would go past one that another process has not committed yet."""
    first, second = (ResolutionRow(id_ * 32, "card", b"{}", NOW_MS, 9) for id_ in "ab")
    with desk.engine.begin() as connection:
        write_resolutions(connection, "other", [first])
        other = threading.Thread(target=desk.commit, kwargs={"resolutions": (second,)})
        other.start()
        wait_until_it_waits(desk.engine)
    other.join(60)
    with desk.engine.connect() as connection:
        ids = connection.scalars(select(resolution.c.id).order_by(resolution.c.sequence))
        assert list(ids) == [first.id, second.id]


def wait_until_it_waits(engine: Engine) -> None:
    """Until another transaction waits for ours; in SQLite it cannot do anything else."""
    if engine.dialect.name == "sqlite":
        return
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    deadline = time.monotonic() + 60
    with engine.connect() as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < deadline
            time.sleep(0.01)
            connection.rollback()
