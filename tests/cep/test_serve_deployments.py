"""Rules that change under a running `cep serve`, by its API and by `cep deploy`."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from engine_cases import RULES
from serve_runs import START_SECONDS, get, healthy, payment, post, serving, wait_for

from cep.log import open_topic
from cep.log.topics import Topic

LARGE = 'rule large { by card match p: Payment[amount > %d] alert "%s {p.amount}" }\n'


def send(url: str, method: str, path: str, **body: object) -> Any:
    request = urllib.request.Request(
        f"{url}/api/v1/rules/{path}",
        json.dumps(body).encode(),
        {"If-Match": "*", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cep.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def position(url: str, number: int, partition: str = "events") -> int:
    """From which record on a deployment is run, as soon as it is."""

    def placed() -> list[int]:
        places = get(f"{url}/api/v1/deployments/{number}")["partitions"]
        assert not any(place["refused"] for place in places)
        return [place["position"] + 1 for place in places if place["partition"] == partition]

    found: list[int] = wait_for(placed)
    return found[0] - 1


def detections(url: str, rule: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = get(f"{url}/api/v1/detections?rule={rule}")["items"]
    return items


def said(url: str, rule: str, count: int) -> list[str]:
    """The messages of a rule, as soon as there are so many."""
    wait_for(lambda: len(detections(url, rule)) >= count)
    return [item["message"] for item in detections(url, rule)]


def test_a_rule_deployed_while_events_flow_detects_from_its_position_on(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)

        def flow(*seconds: int) -> None:
            post(f"{url}/api/v1/events", [payment(at, 700.0) | {"card": f"{at}"} for at in seconds])

        flow(*range(0, 100, 20))
        flow(120)
        wait_for(lambda: get(f"{url}/healthz")["partitions"][0]["behind"] == 0)
        number = send(url, "PUT", "large", text=LARGE % (600, "one"))["number"]
        first = position(url, number)
        assert first == 6
        flow(*range(140, 300, 20))
        # The event of second 120 still waited for time when the rule came.
        assert said(url, "large", 8) == ["one 700"] * 8
        (seen, *_) = detections(url, "large")
        assert seen["events"][0]["position"] == first - 1

        second = send(url, "PUT", "large", text=LARGE % (600, "two"), mode="shadow")["number"]
        position(url, second)
        flow(*range(300, 400, 20))
        assert said(url, "large", 13)[-1] == "two 700"
        assert detections(url, "large")[-1]["shadow"] is True
        told = get(f"{url}/api/v1/deliveries?limit=500")["items"]
        assert not {item["detection_id"] for item in told} & {
            item["id"] for item in detections(url, "large") if item.get("shadow")
        }

        back = send(url, "POST", "large:rollback")["number"]
        position(url, send(url, "POST", "large:resume")["number"])
        position(url, back)
        flow(*range(400, 500, 20))
        assert said(url, "large", 18)[-1] == "one 700"

        position(url, send(url, "POST", "large:pause", begun="drop")["number"])
        flow(*range(500, 600, 20))
        wait_for(lambda: get(f"{url}/healthz")["partitions"][0]["behind"] == 0)
        assert len(detections(url, "large")) <= 19
        assert get(f"{url}/api/v1/rules/large")["mode"] == "paused"
        process.terminate()
        assert process.wait(30) == 0
    with serving(tmp_path) as (url, _):  # what was deployed outlives the program
        assert wait_for(lambda: healthy(url), START_SECONDS)
        assert get(f"{url}/api/v1/rules/large")["mode"] == "paused"


def test_bad_text_is_refused_and_the_program_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, _):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        with pytest.raises(urllib.error.HTTPError) as refused:
            send(url, "PUT", "large", text="rule large { by card match p: Pay }")
        assert refused.value.code == 422
        assert json.load(refused.value)["errors"][0]["path"] == "api/large.cep"
        (tmp_path / "bad.cep").write_text("rule bad {")
        done = cli("deploy", str(tmp_path / "bad.cep"), "--store", str(tmp_path / "s.db"))
        assert (done.returncode, "bad.cep:1:10" in done.stderr) == (1, True)
        assert [item["number"] for item in get(f"{url}/api/v1/deployments")["items"]] == [1]
        assert healthy(url)


def test_files_deployed_reach_every_worker(tmp_path: Path) -> None:
    log = open_topic(f"{tmp_path}/s.db#events", create=True)
    log.declare(Topic("events", 4, "card"))
    log.close()
    store = str(tmp_path / "s.db")
    with serving(tmp_path, RULES, "--workers", "2") as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)

        def flow(*seconds: int) -> None:
            cards = [f"c{number}" for number in range(16)]
            events = [payment(at, 700.0) | {"card": card} for at in seconds for card in cards]
            post(f"{url}/api/v1/events", events)

        flow(0, 60)
        rules = tmp_path / "r.cep"
        rules.write_text(RULES + LARGE % (600, "now"))
        done = cli("deploy", str(rules), "--store", store)
        assert done.stdout.splitlines() == ["deployment 2", "  large: new, live"]
        wait_for(lambda: len(get(f"{url}/api/v1/deployments/2")["partitions"]) == 4)
        flow(120, 180)  # and those of second 60 have waited for time
        assert said(url, "large", 32) == ["now 700"] * 32
        listed = cli("rules", "list", "--store", store).stdout
        assert "events/3: " in listed
        for partition in get(f"{url}/api/v1/deployments/2")["partitions"]:
            assert f"{partition['partition']}: {partition['position']}" in listed
        assert healthy(url)
        process.terminate()
        assert process.wait(30) == 0


def test_rules_over_a_redis_stream_change_at_its_records(tmp_path: Path, redis_url: str) -> None:
    with serving(tmp_path, RULES, "--log", f"{redis_url}#deployed") as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)

        def flow(*seconds: int) -> None:
            post(f"{url}/api/v1/events", [payment(at, 700.0) | {"card": f"{at}"} for at in seconds])
            wait_for(lambda: get(f"{url}/healthz")["partitions"][0]["behind"] == 0)

        flow(0, 20, 40)
        number = send(url, "PUT", "large", text=LARGE % (600, "now"))["number"]
        assert position(url, number, "deployed") == 3
        flow(60, 80)
        assert said(url, "large", 2) == ["now 700"] * 2  # of seconds 40, which waited, and 60
        assert [item["events"][0]["position"] for item in detections(url, "large")] == [2, 3]
        process.terminate()
        assert process.wait(30) == 0


def test_cli_names_what_it_does_not_find(tmp_path: Path) -> None:
    store = str(tmp_path / "s.db")
    (tmp_path / "r.cep").write_text(RULES)
    done = cli("deploy", str(tmp_path / "r.cep"), "--store", store)
    assert (done.returncode, "no rules run on" in done.stderr) == (2, True)
    (tmp_path / "e.ndjson").write_text("")
    run = ("run", str(tmp_path / "r.cep"), "--from", str(tmp_path / "e.ndjson"), "--store", store)
    assert cli(*run).returncode == 0
    for arguments, text in (
        (("pause", "hopp"), "did you mean hop"),
        (("rollback", "hop"), "no earlier text"),
        (("rollback",), "name a rule"),
        (("rollback", "--to", "9"), "no deployment 9"),
        (("list", "--topic", "other"), "--topic e.ndjson"),
    ):
        done = cli("rules", *arguments, "--store", store)
        assert (done.returncode, text in done.stderr) == (2, True), done.stderr
