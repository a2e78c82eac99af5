"""The demo tells the truth: it passes when all that was planted arrived, and only then."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
import redis
from rich.console import Console

from cep.demo.__main__ import main
from cep.demo.play import Pace
from cep.demo.receivers import MailSink, Received, WebhookReceiver
from cep.demo.report import Report
from cep.demo.scenario import SECONDS_MIN, scenario
from cep.store.reads import partitions
from cep.store.store import open_store

SECRET = "whsec_" + "YWJj" * 12


def test_everything_planted_is_found_and_delivered(tmp_path: Path) -> None:
    assert main(["--seconds", str(SECONDS_MIN), "--speed", "15", "--folder", str(tmp_path)]) == 0


def test_demo_runs_on_servers(tmp_path: Path, redis_url: str, postgres_database: str) -> None:
    servers = ["--log", redis_url, "--store", postgres_database]
    options = ["--seconds", str(SECONDS_MIN), "--speed", "15", "--folder", str(tmp_path)]
    assert main([*servers, *options]) == 0
    assert not list(tmp_path.glob("demo.db*"))
    store = open_store(postgres_database)
    (status,) = partitions(store.engine)
    store.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("demo-*") == [status.partition.encode()]
    assert status.position == status.counters["received"] > 0


def test_scenario_is_a_function_of_its_arguments() -> None:
    assert scenario(60, seed=3) == scenario(60, seed=3)
    assert scenario(60, seed=3) != scenario(60, seed=4)


def test_events_of_a_scenario_are_in_order_of_time_and_within_it() -> None:
    seconds = [happening.second for happening in scenario(60).happenings]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0 and seconds[-1] < 63


def test_a_scenario_too_short_for_its_incidents_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds"):
        scenario(SECONDS_MIN - 1)


@pytest.mark.parametrize("fault", ["nothing", "no mail", "twice", "unplanned", "bad signature"])
def test_report_is_complete_only_when_planted_and_delivered_agree(fault: str) -> None:
    incidents = scenario(60).incidents
    webhook, mail = WebhookReceiver(SECRET), MailSink()
    for number, incident in enumerate(incidents):
        body = {"rule": incident.rule, "key": incident.key}
        webhook.received[str(number)] = Received(str(number), 0.0, "", body)
        mail.received[str(number)] = Received(str(number), 0.0, "", {})
    if fault == "no mail":
        mail.received.popitem()
    elif fault == "twice":
        webhook.received["again"] = webhook.received["0"]
        mail.received["again"] = mail.received["0"]
    elif fault == "unplanned":
        body = {"rule": "card_testing", "key": {"card_id": "innocent"}}
        webhook.received["more"] = Received("more", 0.0, "", body)
    elif fault == "bad signature":
        webhook.refused = 1
    report = Report(incidents, Pace(0, 0, 1), webhook, mail, Console(file=io.StringIO()))
    webhook.close()
    assert report.complete() is (fault == "nothing")


def test_each_incident_is_planted_once() -> None:
    counts = Counter(incident.rule for incident in scenario(60).incidents)
    assert len(counts) >= 8
    assert set(counts.values()) == {1}
