"""Messages of one alert come in order, whatever fails; a receiver that fails is left alone."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable

import pytest
from alert_helpers import NOW_MS, all_attempts, all_deliveries, destinations, dispatcher, webhook
from sqlalchemy import Engine, insert

from alerts import limits
from alerts.breaker import Breaker, after_attempt
from alerts.config import Destinations
from alerts.deliveries import read_breakers, replay
from alerts.errors import SendError
from alerts.ports import HttpAnswer, ManualClock, SimulatedHttpSender
from alerts.reasons import Reason
from cep.store.tables import outbox

Detect = Callable[..., str]
SECOND_MS, MINUTE_MS = 1_000, 60_000
OK = HttpAnswer(200, {}, b"")


def told(http: SimulatedHttpSender) -> list[list[str]]:
    """The detections each message tells of, in the order they were sent."""
    found = []
    for _, _, body in http.calls:
        data = json.loads(body)["data"]
        found.append([one["id"] for one in data.get("detections", [data])])
    return found


def failing_first(answers: list[int]) -> SimulatedHttpSender:
    """Answers with these statuses, then always with 200."""
    return SimulatedHttpSender(
        lambda number: HttpAnswer(answers[number], {}, b"") if number < len(answers) else OK
    )


def run_until_over(
    engine: Engine, where: Destinations, http: SimulatedHttpSender, clock: ManualClock
) -> None:
    sender = dispatcher(engine, where, clock, http)
    for _ in range(1_000):
        asyncio.run(sender.run_once())
        waiting = [row.next_attempt_ms for row in all_deliveries(engine) if row.state in OPEN]
        if not waiting:
            return
        waiting += [one.probe_ms for one in read_breakers(engine).values()]
        clock.at_ms = min(moment for moment in waiting if moment > clock.at_ms)
    raise AssertionError("messages are still pending")


OPEN = ("pending", "gathering")


def test_a_message_waits_for_the_one_before_it_of_its_alert(engine: Engine, detect: Detect) -> None:
    http, clock = failing_first([503]), ManualClock(NOW_MS)
    first, other, second = (detect("soc", key=key) for key in ("c1", "c2", "c1"))
    run_until_over(engine, destinations(soc=webhook(80, concurrency=1)), http, clock)
    # The other alert does not wait.
    assert told(http) == [[first], [other], [first], [second]]


def test_a_dead_message_holds_up_nothing(engine: Engine, detect: Detect) -> None:
    http, clock = failing_first([422, 422]), ManualClock(NOW_MS)
    first, second = detect("soc", key="c1"), detect("soc", key="c1")
    run_until_over(engine, destinations(soc=webhook(80)), http, clock)
    assert told(http) == [[first], [first], [second]]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_fails_the_order_of_each_alert_holds(
    engine: Engine, detect: Detect, seed: int
) -> None:
    """Also between messages of their own and gathered ones."""
    random_ = random.Random(seed)
    http = SimulatedHttpSender(
        lambda _: HttpAnswer(random_.choice([200, 200, 500, 429, 422]), {}, b"")
    )
    clock = ManualClock(NOW_MS)
    where = destinations(soc=webhook(80, storm={"messages": 3, "per": "1m"}))
    keys: dict[str, str] = {}
    for _ in range(6):
        for _ in range(random_.randrange(4)):
            key = random_.choice("abc")
            keys[detect("soc", key=key)] = key
        asyncio.run(dispatcher(engine, where, clock, http).run_once())
        clock.advance(random_.randrange(90 * SECOND_MS))
    run_until_over(engine, where, http, clock)
    seen: dict[str, list[str]] = {}
    for message in told(http):
        for id_ in message:
            order = seen.setdefault(keys[id_], [])
            if id_ not in order:
                order.append(id_)
    assert sorted(id_ for order in seen.values() for id_ in order) == sorted(keys)
    assert all(order == sorted(order) for order in seen.values())


def test_a_receiver_that_fails_is_left_alone_and_tried_with_one_message(
    engine: Engine, detect: Detect
) -> None:
    up, clock = False, ManualClock(NOW_MS)

    def respond(_: int) -> HttpAnswer:
        if not up:
            raise SendError(Reason.NETWORK, "nobody there")
        return OK

    http = SimulatedHttpSender(respond)
    where = destinations(soc=webhook(80, concurrency=1))
    sender = dispatcher(engine, where, clock, http)
    for _ in range(50):
        detect("soc")
    asyncio.run(sender.run_once())
    assert len(http.calls) == limits.BREAKER_FAILURES
    for pause_ms in (10, 20, 40, 80, 120, 120):
        clock.advance(pause_ms * SECOND_MS - 1)
        asyncio.run(sender.run_once())
        calls = len(http.calls)
        clock.advance(1)
        # Another dispatcher knows it, too.
        sender = dispatcher(engine, where, clock, http)
        asyncio.run(sender.run_once())
        assert len(http.calls) == calls + 1
    up = True
    clock.advance(120 * SECOND_MS)
    asyncio.run(sender.run_once())
    assert read_breakers(engine) == {}
    clock.advance(2 * MINUTE_MS)
    asyncio.run(sender.run_once())
    assert {row.state for row in all_deliveries(engine)} == {"delivered"}


def test_a_receiver_down_for_an_hour_loses_nothing(engine: Engine, detect: Detect) -> None:
    """Ten alerts go on meanwhile: each detection is sent, in order, and few tries are made."""
    clock, went_up = ManualClock(NOW_MS), NOW_MS + 60 * MINUTE_MS

    def respond(_: int) -> HttpAnswer:
        return OK if clock.at_ms >= went_up else HttpAnswer(503, {}, b"down")

    http = SimulatedHttpSender(respond)
    where = destinations(soc=webhook(80, concurrency=8))
    sender = dispatcher(engine, where, clock, http)
    made: dict[str, list[str]] = {}
    for second in range(0, 3_600, 90):
        for key in range(10):
            made.setdefault(f"c{key}", []).append(detect("soc", key=f"c{key}"))
        clock.at_ms = NOW_MS + second * SECOND_MS
        asyncio.run(sender.run_once())
    assert len(http.calls) < 100
    run_until_over(engine, where, http, clock)
    delivered = [row for row in all_deliveries(engine) if row.state == "delivered"]
    assert len(delivered) == 400
    taken: dict[str, list[str]] = {}
    for _, _, body in http.calls:
        data = json.loads(body)["data"]
        order = taken.setdefault(data["key"]["card_id"], [])
        if data["id"] not in order:
            order.append(data["id"])
    assert taken == made
    assert clock.at_ms < went_up + 10 * MINUTE_MS


def test_a_receiver_that_says_when_is_left_alone_until_then(engine: Engine, detect: Detect) -> None:
    clock = ManualClock(NOW_MS)
    http = SimulatedHttpSender(
        lambda number: HttpAnswer(429, {"retry-after": "60"}, b"") if number == 0 else OK
    )
    sender = dispatcher(engine, destinations(soc=webhook(80, concurrency=1)), clock, http)
    for _ in range(3):
        detect("soc")
    asyncio.run(sender.run_once())
    clock.advance(59 * SECOND_MS)
    asyncio.run(sender.run_once())
    assert len(http.calls) == 1
    clock.advance(1 * SECOND_MS)
    asyncio.run(sender.run_once())
    assert len(http.calls) == 4


def test_a_replay_does_not_wait_for_the_breaker(engine: Engine, detect: Detect) -> None:
    http, clock = failing_first([503] * 11), ManualClock(NOW_MS)
    detect("soc")
    where = destinations(soc=webhook(80))
    run_until_over(engine, where, http, clock)
    assert all_deliveries(engine)[0].reason == "exhausted"
    assert read_breakers(engine)["soc"].is_open()
    replay(engine, clock.now_ms(), destination="soc")
    asyncio.run(dispatcher(engine, where, clock, http).run_once())
    assert all_deliveries(engine)[0].state == "delivered"
    assert len(all_attempts(engine)) == 12


def test_what_is_wrong_with_one_message_says_nothing_of_the_receiver() -> None:
    failing = Breaker(9, NOW_MS, NOW_MS + 1)
    for reason in (Reason.DELIVERED, Reason.REFUSED, Reason.GONE, Reason.RECIPIENTS_REFUSED):
        assert after_attempt(failing, reason, NOW_MS) is None
    for reason in (Reason.RECIPIENTS_DEFERRED, Reason.INTERNAL):
        assert after_attempt(failing, reason, NOW_MS) == failing
        assert after_attempt(None, reason, NOW_MS) is None
    assert after_attempt(None, Reason.TIMEOUT, NOW_MS) == Breaker(1, NOW_MS, NOW_MS)


def test_rows_that_are_seen_late_make_no_messages_that_wait_for_each_other(
    engine: Engine, detect: Detect
) -> None:
    """On PostgreSQL, rows of several writers may become visible in another order."""
    where = destinations(soc=webhook(80, storm={"messages": 2, "per": "1m"}))
    clock, status = ManualClock(NOW_MS), [503]
    http = SimulatedHttpSender(lambda _: HttpAnswer(status[0], {}, b""))
    working = dispatcher(engine, where, clock, http)
    first, *later = [detect(key="c1") for _ in range(3)]
    put(engine, first, 12)
    asyncio.run(working.run_once())
    for id_, sequence in zip(later, (10, 11), strict=True):  # the second one is gathered
        put(engine, id_, sequence)
    asyncio.run(working.run_once())
    status[0] = 200
    clock.advance(10 * 60_000)
    asyncio.run(working.run_once())
    assert [row.state for row in all_deliveries(engine)] == ["delivered"] * 3


def put(engine: Engine, id_: str, sequence: int) -> None:
    with engine.begin() as connection:
        row = {"sequence": sequence, "detection_id": id_, "destination": "soc"}
        connection.execute(insert(outbox).values(row))
