"""Health, metrics, errors, and who may talk to the server at all."""

from __future__ import annotations

import pytest
from api_checks import Api, detection, problem
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from api.problems import Kind
from cep.limits import END_OF_TIME_MS
from cep.ports import capped_of


def samples(api: Api) -> dict[tuple[str, str], float]:
    """(name, label values) → value, as Prometheus reads them."""
    response = api.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_health_is_ok(api: Api) -> None:
    response = api.client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "partitions": [{"partition": "events", "behind": 0, "intake": None}],
        "degraded": [],
    }


def test_rule_that_was_refused_partial_matches_is_degraded(api: Api) -> None:
    of_rule = {capped_of("card_testing"): 4}
    api.commit(partition="events", capped=4, **of_rule)
    api.commit(partition="others", capped=5, **of_rule)
    assert api.client.get("/healthz").json()["degraded"] == ["card_testing"]
    rules = api.client.get("/api/v1/rules").json()["items"]
    assert [(r["name"], r["capped"], r["degraded"]) for r in rules] == [
        ("card_testing", 8, True),
        ("quiet", 0, False),
    ]
    found = samples(api)
    assert found["cep_rule_partial_matches_capped_total", "card_testing"] == 8
    assert found["cep_rule_partial_matches_capped_total", "quiet"] == 0


def test_health_says_what_is_wrong(api: Api) -> None:
    api.state.health = lambda: "the engine stopped: the log is gone"
    document = problem(api.client.get("/healthz"), 503, "unavailable")
    assert document["detail"] == "the engine stopped: the log is gone"


def test_health_notices_an_unusable_store(api: Api) -> None:
    with api.engine.begin() as connection:
        connection.execute(text("DROP TABLE checkpoint"))
    problem(api.client.get("/healthz"), 503, "unavailable")


def test_metrics_come_from_the_store(api: Api) -> None:
    api.log.append("events", b"{}\n" * 10)
    api.commit(
        detection(1),
        detection(2),
        detection(3, suppressed_by=f"{1:032x}"),
        received=12,
        processed=5,
        late=1,
        dead_lettered=2,
        quarantined=3,
        ignored=1,
        suppressed=1,
        derived=8,
        not_derived=2,
        expired=4,
        capped=5,
        unkeyed=6,
        cancelled=7,
        skips_missed=8,
        resolutions=9,
        forgotten=10,
        shadowed=11,
    )
    found = samples(api)
    assert {name: value for (name, labels), value in found.items() if labels == "events"} == {
        "cep_events_received_total": 12,
        "cep_events_processed_total": 5,
        "cep_events_late_total": 1,
        "cep_events_dead_lettered_total": 2,
        "cep_events_quarantined_total": 3,
        "cep_events_ignored_total": 1,
        "cep_detections_suppressed_total": 1,
        "cep_events_derived_total": 8,
        "cep_events_not_derived_total": 2,
        "cep_partial_matches_expired_total": 4,
        "cep_partial_matches_capped_total": 5,
        "cep_events_unkeyed_total": 6,
        "cep_partial_matches_cancelled_total": 7,
        "cep_skips_missed_total": 8,
        "cep_resolutions_total": 9,
        "cep_open_keys_forgotten_total": 10,
        "cep_detections_shadowed_total": 11,
        "cep_watermark_lag_seconds": 30,
        "cep_partition_position": 7,
        "cep_records_behind": 3,
    }
    assert found["cep_detections_total", "card_testing"] == 3
    assert found["cep_detections_total", "quiet"] == 0
    assert found["cep_outbox_rows", ""] == 0


def test_outbox_without_a_dispatcher_is_visible(api: Api) -> None:
    api.commit(detection(1, "card_testing", "soc", "mail"))
    assert samples(api)["cep_outbox_rows", ""] == 2


def test_watermark_at_the_end_of_time_has_no_lag(api: Api) -> None:
    api.commit(watermark_ms=END_OF_TIME_MS)
    assert ("cep_watermark_lag_seconds", "events") not in samples(api)


def test_unknown_path_and_method_are_problems(api: Api) -> None:
    problem(api.client.get("/api/v1/nope"), 404, "not-found")
    problem(api.client.get("/nope"), 404, "not-found")
    response = api.client.delete("/api/v1/events")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


def test_fault_of_ours_is_a_problem_without_its_inside(api: Api) -> None:
    api.commit()
    with api.engine.begin() as connection:
        connection.execute(text("DROP TABLE dead_letter"))
    document = problem(api.client.get("/api/v1/dead-letters"), 500, "internal")
    assert "dead_letter" not in str(document)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::2]", ""]
)
def test_request_for_another_host_is_refused(api: Api, host: str) -> None:
    problem(api.client.get("/api/v1/rules", headers={"host": host}), 421, "misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]", "[::1]:9"])
def test_loopback_names_are_answered(api: Api, host: str) -> None:
    assert api.client.get("/healthz", headers={"host": host}).status_code == 200


def test_every_problem_has_a_type_of_its_own() -> None:
    assert len({kind.type for kind in Kind}) == len(Kind)
    assert all(400 <= kind.status < 600 and kind.title for kind in Kind)


def test_description_of_the_api_names_every_resource(api: Api) -> None:
    paths = api.client.get("/api/v1/openapi.json").json()["paths"]
    assert {"/api/v1/events", "/api/v1/rules", "/api/v1/detections", "/metrics"} <= set(paths)
