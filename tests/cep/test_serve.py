"""`cep serve` as a process: events in by HTTP, detections out, an orderly end."""

from __future__ import annotations

import os
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path

from engine_cases import BASE_MS, RULES
from serve_runs import START_SECONDS, get, healthy, payment, post, serving, wait_for

from cep.log import open_topic
from cep.log.topics import Topic
from cep.store.store import open_store


def test_events_posted_become_detections_and_sigterm_ends_well(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        answer = post(f"{url}/api/v1/events", [payment(0, 1.0), payment(5, 600.0), payment(60, 1)])
        assert answer["accepted"] == 3
        items = wait_for(lambda: get(f"{url}/api/v1/detections")["items"])
        assert [item["rule"] for item in items] == ["escalation"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with serving(tmp_path) as (url, _):
        assert len(get(f"{url}/api/v1/detections")["items"]) == 1


def test_events_posted_go_to_a_redis_stream_and_become_detections(
    tmp_path: Path, redis_url: str
) -> None:
    with serving(tmp_path, RULES, "--log", f"{redis_url}#posted") as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        answer = post(f"{url}/api/v1/events", [payment(0, 1.0), payment(5, 600.0), payment(60, 1)])
        assert answer["partitions"] == [{"partition": "posted", "accepted": 3}]
        items = wait_for(lambda: get(f"{url}/api/v1/detections")["items"])
        assert [item["rule"] for item in items] == ["escalation"]
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as metrics:
            assert b'cep_records_behind{partition="posted"} 0.0' in metrics.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


SILENT = """
event Heartbeat { ts: timestamp @time  host: string }
table servers { host: string @pk  owner: string } from file "servers.csv"
rule host_down {
  by host in servers
  match not Heartbeat for 5m
  fire once
  resolve on Heartbeat
  alert "{host} silent for 5m (owner {servers[host]?.owner ?? 'unknown'})"
}
"""


def processed(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = re.search(r"cep_events_processed_total{.*} (\S+)", answer.read().decode())
    return float(found.group(1)) if found else 0


def heartbeat(at_s: int, host: str) -> dict[str, object]:
    return {"type": "Heartbeat", "ts": BASE_MS + at_s * 1000, "host": host}


def test_a_host_that_was_silent_from_birth_is_told_of_and_one_that_went_is_not(
    tmp_path: Path,
) -> None:
    servers = tmp_path / "servers.csv"
    servers.write_text("host,owner\na,x\nb,y\nc,z\n")
    with serving(tmp_path, SILENT) as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        post(
            f"{url}/api/v1/events", [heartbeat(0, "a"), heartbeat(60, "a"), heartbeat(61, "other")]
        )
        assert wait_for(lambda: processed(url) == 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    servers.write_text("host,owner\na,x\nb,y\nd,w\n")
    with serving(tmp_path, SILENT) as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        post(f"{url}/api/v1/events", [heartbeat(400, "other")])
        items = wait_for(lambda: get(f"{url}/api/v1/detections")["items"])
        assert {item["message"] for item in items} == {
            "a silent for 5m (owner x)",
            "b silent for 5m (owner y)",
            "d silent for 5m (owner w)",
        }


def test_engine_that_lost_its_partition_ends_the_program_with_the_reason(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        store = open_store(str(tmp_path / "s.db"))
        store.acquire("events")
        store.close()
        post(f"{url}/api/v1/events", [payment(1, 1.0)])
        assert process.wait(30) == 3
    assert b"taken over by another engine" in (tmp_path / "serve.log").read_bytes()


WITH_IDS = RULES.replace("  card: string\n", "  card: string\n  id: string? @id\n", 1)


def metrics(url: str, name: str) -> dict[str, float]:
    """The values of a metric by partition."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = re.findall(rf'^{name}{{partition="(.*?)"}} (\S+)$', answer.read().decode(), re.M)
    return {partition: float(value) for partition, value in found}


def test_workers_behind_one_api_lose_count_of_nothing(tmp_path: Path) -> None:
    log = open_topic(f"{tmp_path}/s.db#events", create=True)
    log.declare(Topic("events", 4, "card"))
    log.close()
    with serving(tmp_path, WITH_IDS, "--workers", "2") as (url, process):
        assert wait_for(lambda: healthy(url), START_SECONDS)
        events = [
            payment(second, amount) | {"card": f"c{card}", "id": f"{card}-{second}"}
            for second, amount in ((0, 1.0), (5, 600.0), (200, 20.0))
            for card in range(20)
        ]
        answer = post(f"{url}/api/v1/events", [*events, {"type": "Payment", "card": "c1"}])
        assert (answer["accepted"], answer["duplicates"]) == (61, 0)
        assert len(answer["partitions"]) == 4
        again = post(f"{url}/api/v1/events", events)
        assert (again["accepted"], again["duplicates"]) == (0, 60)

        def received() -> float:
            return sum(metrics(url, "cep_events_received_total").values())

        assert wait_for(lambda: received() == 61)
        parts = [
            sum(metrics(url, f"cep_events_{name}_total").values())
            for name in ("processed", "late", "dead_lettered", "quarantined", "ignored")
        ]
        assert parts == [60, 0, 1, 0, 0]
        items = wait_for(lambda: get(f"{url}/api/v1/detections")["items"])
        assert len([item for item in items if item["rule"] == "escalation"]) == 20
        assert set(metrics(url, "cep_records_behind").values()) == {0}
        assert get(f"{url}/healthz")["partitions"] == [
            {"partition": f"events/{n}", "behind": 0, "intake": "flowing"} for n in range(4)
        ]

        (worker,) = re.findall(
            rb"worker 2 of 2, process (\d+)", (tmp_path / "serve.log").read_bytes()
        )
        os.kill(int(worker), signal.SIGKILL)
        assert wait_for(lambda: not healthy(url))
        assert wait_for(lambda: healthy(url))
        late = [payment(300, 20.0) | {"card": f"c{card}"} for card in range(20)]
        assert post(f"{url}/api/v1/events", late)["accepted"] == 20
        assert wait_for(lambda: received() == 81)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
