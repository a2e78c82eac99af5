"""The path of a delivery over real HTTP: attempts, the schedule, and what is remembered."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest
from alert_helpers import (
    NOW_MS,
    OLD_SECRET,
    SECRET,
    all_attempts,
    all_deliveries,
    destinations,
    detection_body,
    dispatcher,
    hook,
    one_delivery,
    webhook,
)
from alert_receivers import HttpReceiver, Reply, free_port
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import OperationalError
from standardwebhooks import Webhook

from alerts import deliveries, limits
from alerts import webhook as webhook_channel
from alerts.alert import alert_id
from alerts.deliveries import (
    delivery_id,
    disabled_destinations,
    enable_destination,
    replay,
)
from alerts.destinations import WebhookDestination
from alerts.errors import SendError
from alerts.listings import counts_by_state
from alerts.message import Notice
from alerts.ports import HttpAnswer, ManualClock, SimulatedHttpSender, SystemClock
from alerts.reasons import Reason
from cep.store.tables import outbox

Detect = Callable[..., str]


def test_numbers_of_deliveries_go_on_after_the_outbox_was_emptied(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    for _ in range(3):
        detect("soc")
        asyncio.run(dispatcher(engine, hook(receiver)).run_once())
    assert [row.sequence for row in all_deliveries(engine)] == [1, 2, 3]


def test_webhook_carries_the_detection_and_verifies(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    id_ = detect("soc", body=detection_body("d1"))
    # The library compares the time stamp with the present.
    asyncio.run(dispatcher(engine, hook(receiver), SystemClock()).run_once())
    (request,) = receiver.requests
    Webhook(SECRET).verify(request.body, request.headers)
    envelope = json.loads(request.body)
    assert envelope.pop("data") == json.loads(detection_body("d1"))
    assert envelope == {
        "specversion": "1.0",
        "id": id_,
        "source": "/cep/rules/card_testing",
        "type": "cep.detection.v1",
        "subject": "card_testing",
        "severity": "high",
        "datacontenttype": "application/json",
        "time": "2024-12-10T06:55:46.000Z",
        "alertid": alert_id(id_),
        "sequence": "0000000001",
    }
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert request.headers["webhook-id"] == delivery_id(id_, "soc")
    assert detection_body("d1") in request.body
    assert one_delivery(engine).state == "delivered"


def test_both_secrets_sign_during_rotation(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    detect("soc")
    secrets = [{"env": "HOOK_SECRET"}, {"env": "HOOK_OLD_SECRET"}]
    asyncio.run(dispatcher(engine, hook(receiver, secrets=secrets), SystemClock()).run_once())
    (request,) = receiver.requests
    Webhook(SECRET).verify(request.body, request.headers)
    Webhook(OLD_SECRET).verify(request.body, request.headers)


def test_server_error_is_retried_with_the_same_id_and_bytes(
    engine: Engine, receiver: HttpReceiver, detect: Detect, clock: ManualClock
) -> None:
    receiver.replies = [Reply(500, body=b"oops"), Reply(200)]
    detect("soc")
    sender = dispatcher(engine, hook(receiver), clock)
    asyncio.run(sender.run_once())
    waiting = one_delivery(engine)
    assert (waiting.state, waiting.reason, waiting.attempts) == ("pending", "server_error", 1)
    assert waiting.next_attempt_ms == NOW_MS + 5_000
    clock.advance(4_999)
    assert asyncio.run(sender.run_once()) == 0
    clock.advance(1)
    assert asyncio.run(sender.run_once()) == 1
    assert one_delivery(engine).state == "delivered"
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert [(a.number, a.status, a.answer) for a in all_attempts(engine)] == [
        (1, 500, b"oops"),
        (2, 200, b"ok"),
    ]


@pytest.mark.parametrize("header", ["120", "Tue, 10 Dec 2024 06:57:46 GMT"])
def test_retry_after_is_honoured(
    engine: Engine, receiver: HttpReceiver, detect: Detect, clock: ManualClock, header: str
) -> None:
    receiver.replies = [Reply(429, {"Retry-After": header})]
    detect("soc")
    asyncio.run(dispatcher(engine, hook(receiver), clock).run_once())
    waiting = one_delivery(engine)
    assert (waiting.reason, waiting.next_attempt_ms) == ("rate_limited", NOW_MS + 120_000)


def test_unreachable_receiver_leaves_delivery_queued_and_gets_it_once_up(
    engine: Engine, detect: Detect, clock: ManualClock
) -> None:
    port = free_port()
    where = destinations(soc=webhook(port))
    detect("soc")
    asyncio.run(dispatcher(engine, where, clock).run_once())
    waiting = one_delivery(engine)
    assert (waiting.state, waiting.reason, waiting.attempts) == ("pending", "network", 1)
    assert waiting.next_attempt_ms == NOW_MS + 5_000
    assert "ConnectError" in all_attempts(engine)[0].error
    clock.advance(5_000)
    with HttpReceiver(port=port) as receiver:
        # A new dispatcher: the schedule is in the store.
        asyncio.run(dispatcher(engine, where, clock).run_once())
    assert len(receiver.requests) == 1
    assert one_delivery(engine).state == "delivered"


def test_slow_receiver_times_out(engine: Engine, receiver: HttpReceiver, detect: Detect) -> None:
    import threading

    release = threading.Event()
    receiver.before_reply = lambda: release.wait(30) and None
    detect("soc")
    asyncio.run(dispatcher(engine, hook(receiver, timeout_ms=150)).run_once())
    release.set()
    waiting = one_delivery(engine)
    assert (waiting.state, waiting.reason) == ("pending", "timeout")
    assert 100 <= all_attempts(engine)[0].duration_ms < 10_000


def test_redirect_is_a_failure_and_is_not_followed(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    with HttpReceiver() as elsewhere:
        receiver.replies = [Reply(307, {"Location": elsewhere.url})]
        detect("soc")
        asyncio.run(
            dispatcher(
                engine, destinations([elsewhere.port], soc=webhook(receiver.port))
            ).run_once()
        )
        assert elsewhere.connections == 0
    assert (one_delivery(engine).state, one_delivery(engine).reason) == ("pending", "redirect")


def test_gone_disables_the_destination_until_it_is_enabled(
    engine: Engine, receiver: HttpReceiver, detect: Detect, clock: ManualClock
) -> None:
    receiver.replies = [Reply(410), Reply(200)]
    detect("soc")
    sender = dispatcher(engine, hook(receiver), clock)
    asyncio.run(sender.run_once())
    assert one_delivery(engine).reason == "gone"
    assert list(disabled_destinations(engine)) == ["soc"]
    detect("soc")
    asyncio.run(sender.run_once())
    assert [row.reason for row in all_deliveries(engine)] == ["gone", "destination_disabled"]
    assert len(receiver.requests) == 1
    assert enable_destination(engine, "soc")
    assert replay(engine, clock.now_ms(), destination="soc") == 2
    asyncio.run(sender.run_once())
    assert [row.state for row in all_deliveries(engine)] == ["delivered", "delivered"]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_refused_message_is_tried_twice_then_dead(
    engine: Engine, receiver: HttpReceiver, detect: Detect, clock: ManualClock, status: int
) -> None:
    receiver.replies = [Reply(status, body=b"no")]
    detect("soc")
    sender = dispatcher(engine, hook(receiver), clock)
    asyncio.run(sender.run_once())
    assert one_delivery(engine).state == "pending"
    clock.advance(5_000)
    asyncio.run(sender.run_once())
    dead = one_delivery(engine)
    assert (dead.state, dead.reason, dead.attempts) == ("dead", "refused", 2)
    clock.advance(10**9)
    assert asyncio.run(sender.run_once()) == 0


def test_schedule_is_followed_to_its_end_and_replay_starts_it_again(
    engine: Engine, detect: Detect, clock: ManualClock
) -> None:
    def refuse(call: int) -> HttpAnswer:
        raise SendError(Reason.NETWORK, "nobody there")

    http = SimulatedHttpSender(refuse)
    detect("soc")
    sender = dispatcher(engine, destinations(soc=webhook(80)), clock, http)
    waits = []
    while True:
        asyncio.run(sender.run_once())
        row = one_delivery(engine)
        if row.state == "dead":
            break
        waits.append(row.next_attempt_ms - clock.now_ms())
        clock.at_ms = row.next_attempt_ms
    assert waits == list(limits.RETRY_DELAYS_MS)
    assert (row.reason, row.attempts) == ("exhausted", 11)
    assert replay(engine, clock.now_ms(), id_=row.id) == 1
    asyncio.run(sender.run_once())
    row = one_delivery(engine)
    assert (row.state, row.attempts) == ("pending", 12)
    assert row.next_attempt_ms - clock.now_ms() == 5_000
    assert len({(call[1]["webhook-id"], call[2]) for call in http.calls}) == 1


def test_unknown_destination_is_dead_with_its_reason_and_can_be_replayed_once_configured(
    engine: Engine, receiver: HttpReceiver, detect: Detect, clock: ManualClock
) -> None:
    detect("soc")
    asyncio.run(dispatcher(engine, destinations(), clock).run_once())
    dead = one_delivery(engine)
    assert (dead.state, dead.reason, dead.attempts) == ("dead", "destination_unknown", 0)
    assert replay(engine, clock.now_ms(), id_=dead.id) == 1
    asyncio.run(dispatcher(engine, hook(receiver), clock).run_once())
    assert one_delivery(engine).state == "delivered"
    assert one_delivery(engine).body == receiver.requests[0].body


def test_default_goes_to_each_destination_of_the_list(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    hooks = {name: webhook(receiver.port) for name in ("one", "two", "three")}
    detect("default")
    asyncio.run(dispatcher(engine, destinations(default=["one", "two"], **hooks)).run_once())
    assert sorted(counts_by_state(engine)) == [("one", "delivered"), ("two", "delivered")]


def test_default_without_a_list_tells_nobody_and_empties_the_outbox(
    engine: Engine, detect: Detect
) -> None:
    detect("default")
    asyncio.run(dispatcher(engine, destinations()).run_once())
    assert all_deliveries(engine) == []
    with engine.connect() as connection:
        assert connection.execute(select(outbox)).all() == []


def test_outbox_row_written_again_makes_no_second_delivery(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    id_ = detect("soc")
    sender = dispatcher(engine, hook(receiver))
    asyncio.run(sender.run_once())
    with engine.begin() as connection:
        connection.execute(insert(outbox).values(detection_id=id_, destination="soc"))
    asyncio.run(sender.run_once())
    assert len(receiver.requests) == 1
    assert one_delivery(engine).state == "delivered"


def test_first_attempts_follow_the_order_of_the_outbox(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    ids = [detect("soc") for _ in range(limits.CLAIM_ROWS_MAX + 30)]
    asyncio.run(dispatcher(engine, hook(receiver, concurrency=1)).run_once())
    assert [json.loads(request.body)["id"] for request in receiver.requests] == ids


def test_messages_under_way_to_one_destination_are_bounded(engine: Engine, detect: Detect) -> None:
    under_way = most = 0

    class Counting(SimulatedHttpSender):
        async def post(self, *arguments: object) -> HttpAnswer:  # type: ignore[override]
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            under_way -= 1
            return HttpAnswer(200, {}, b"")

    for _ in range(40):
        detect("soc")
    where = destinations(soc=webhook(80, concurrency=3))
    asyncio.run(
        dispatcher(engine, where, http=Counting(lambda _: HttpAnswer(200, {}, b""))).run_once()
    )
    assert most == 3
    assert counts_by_state(engine) == {("soc", "delivered"): 40}


def test_dead_destination_does_not_hold_up_another(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    detect("down", "soc")
    where = destinations(soc=webhook(receiver.port), down=webhook(free_port()))
    asyncio.run(dispatcher(engine, where).run_once())
    assert counts_by_state(engine) == {("down", "pending"): 1, ("soc", "delivered"): 1}


def test_fault_of_ours_is_recorded_and_retried(engine: Engine, detect: Detect) -> None:
    def fail(call: int) -> HttpAnswer:
        raise RuntimeError("with a secret inside")

    detect("soc")
    where = destinations(soc=webhook(80))
    asyncio.run(dispatcher(engine, where, http=SimulatedHttpSender(fail)).run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == ("pending", "internal")
    assert all_attempts(engine)[0].error == "RuntimeError"


def test_cookie_of_a_receiver_is_not_sent_back(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    receiver.replies = [Reply(200, {"Set-Cookie": "session=1; Path=/"})]
    detect("soc")
    detect("soc")
    asyncio.run(dispatcher(engine, hook(receiver, concurrency=1)).run_once())
    assert ["cookie" in request.headers for request in receiver.requests] == [False, False]


def test_long_answer_is_cut_and_the_rest_is_not_read(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    receiver.replies = [Reply(200, body=b"x" * 5_000_000)]
    detect("soc")
    asyncio.run(dispatcher(engine, hook(receiver)).run_once())
    assert all_attempts(engine)[0].answer == b"x" * limits.ANSWER_KEPT_BYTES


def test_run_delivers_what_arrives_and_stops_when_told(
    engine: Engine, receiver: HttpReceiver, detect: Detect
) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        sender = dispatcher(engine, hook(receiver), SystemClock())
        running = asyncio.create_task(sender.run(stop))
        for count in (1, 2, 3):
            await asyncio.to_thread(detect, "soc")
            deadline = time.monotonic() + 10
            while len(receiver.requests) < count and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(running, 10)

    asyncio.run(scenario())
    assert len(receiver.requests) == 3
    assert counts_by_state(engine) == {("soc", "delivered"): 3}


def test_a_message_that_cannot_be_rendered_holds_up_no_other(
    engine: Engine, receiver: HttpReceiver, detect: Detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in one message is recorded as one, and tried again."""
    broken, fine = detect("soc"), detect("soc")

    def render(notice: Notice, destination: WebhookDestination) -> bytes:
        if notice.subjects[0].detection_id == broken:
            raise KeyError("a fault")
        return render_webhook(notice, destination)

    render_webhook = webhook_channel.render
    monkeypatch.setattr(webhook_channel, "render", render)
    asyncio.run(dispatcher(engine, hook(receiver)).run_once())
    rows = {row.detection_id: (row.state, row.reason) for row in all_deliveries(engine)}
    assert rows == {broken: ("pending", "internal"), fine: ("delivered", "delivered")}


def test_answer_that_breaks_off_is_no_answer(engine: Engine, detect: Detect) -> None:
    """The connection is reset behind half of a body: whether it was taken is not known."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_half() -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        # Closing without waiting for what is under way sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    thread = threading.Thread(target=answer_half)
    thread.start()
    detect("soc")
    port = listener.getsockname()[1]
    asyncio.run(dispatcher(engine, destinations(soc=webhook(port))).run_once())
    thread.join()
    listener.close()
    row = one_delivery(engine)
    assert (row.state, row.reason, row.attempts) == ("pending", "network", 1)


def test_certificate_that_is_not_trusted_is_sent_nothing(engine: Engine, detect: Detect) -> None:
    """Names are compared in test_network_policy."""
    with HttpReceiver(tls=True) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        detect("soc")
        asyncio.run(
            dispatcher(engine, destinations(soc=webhook(receiver.port, url=url))).run_once()
        )
        assert receiver.requests == []
    (attempt,) = all_attempts(engine)
    assert (attempt.reason, one_delivery(engine).state) == ("network", "pending")


def test_a_commit_whose_answer_is_lost_is_recorded_once(
    engine: Engine, receiver: HttpReceiver, detect: Detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL goes away between its commit and the answer: the same attempts come again."""
    detect("soc")
    record = deliveries.record

    def record_and_fail(*arguments: object) -> None:
        record(*arguments)  # type: ignore[arg-type]
        raise OperationalError("COMMIT", None, Exception("the connection was lost"))

    working = dispatcher(engine, hook(receiver))
    monkeypatch.setattr(deliveries, "record", record_and_fail)
    with pytest.raises(OperationalError):
        asyncio.run(working.run_once())
    monkeypatch.setattr(deliveries, "record", record)
    asyncio.run(working.run_once())
    assert (len(receiver.requests), len(all_attempts(engine))) == (1, 1)
    assert one_delivery(engine).state == "delivered"
