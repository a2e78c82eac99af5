"""Silences: what they hide stays visible, they end, and a preview says what they would hide."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alert_helpers import NOW_MS, all_deliveries, destinations, webhook
from sqlalchemy import Engine

from alerts import lifecycle, silences
from alerts.alert_listings import detections_of, list_alerts
from alerts.claim import drain
from alerts.errors import NotFound, Refused
from alerts.lifecycle import By
from alerts.matching import Facts, Matcher
from alerts.policy import Policy
from alerts.silences import Silence, end_silence, find_silence, list_silences, preview

Detect = Callable[..., str]
HOUR_MS = 3_600_000
TAGS = {"card_testing": ("fraud", "cards")}


def tags_of(rule: str) -> tuple[str, ...]:
    return TAGS.get(rule, ())


SOC = Policy(destinations(soc=webhook(80), default=["soc"]), tags_of)


def silence(engine: Engine, starts_ms: int = NOW_MS, **matcher: object) -> Silence:
    return silences.make_silence(
        engine,
        Matcher.model_validate(matcher),
        starts_ms=starts_ms,
        ends_ms=starts_ms + HOUR_MS,
        actor="ada",
        comment="maintenance",
        now_ms=NOW_MS,
    )


def test_what_a_silence_hides_is_recorded_with_its_id(engine: Engine, detect: Detect) -> None:
    made = silence(engine, key={"card_id": "c1"})
    hidden, told = detect("default", key="c1"), detect("default", key="c2")
    drain(engine, SOC, NOW_MS)
    assert [row.detection_id for row in all_deliveries(engine)] == [told]
    silent, _ = list_alerts(engine)
    assert [(one.id, one.hidden_by) for one in detections_of(engine, silent.id)] == [
        (hidden, made.id)
    ]
    assert find_silence(engine, made.id).hidden == 1


def test_it_hides_from_its_start_to_its_end(engine: Engine, detect: Detect) -> None:
    silence(engine, starts_ms=NOW_MS + HOUR_MS, rule="card_*")
    told = []
    for at_ms, heard in (
        (NOW_MS, True),
        (NOW_MS + HOUR_MS - 1, True),
        (NOW_MS + HOUR_MS, False),
        (NOW_MS + 2 * HOUR_MS - 1, False),
        (NOW_MS + 2 * HOUR_MS, True),
    ):
        id_ = detect("default")
        drain(engine, SOC, at_ms)
        told += [id_] if heard else []
    assert [row.detection_id for row in all_deliveries(engine)] == told


def test_one_that_is_ended_early_hides_nothing_more(engine: Engine, detect: Detect) -> None:
    made = silence(engine, severity="high")
    detect("default")
    drain(engine, SOC, NOW_MS)
    assert end_silence(engine, made.id, NOW_MS + 1).ends_ms == NOW_MS + 1
    detect("default")
    drain(engine, SOC, NOW_MS + 1)
    assert len(all_deliveries(engine)) == 1
    with pytest.raises(Refused):
        end_silence(engine, made.id, NOW_MS + 2)
    with pytest.raises(NotFound):
        end_silence(engine, "nothing", NOW_MS)
    assert [one.id for one in list_silences(engine, over=True, now_ms=NOW_MS + 1)] == [made.id]
    assert list_silences(engine, over=False, now_ms=NOW_MS + 1) == []


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [
        ({"rule": "card_testing"}, True),
        ({"rule": "card_*"}, True),
        ({"rule": "Card_*"}, False),
        ({"rule": ["burst", "card_t?sting"]}, True),
        ({"severity": ["low", "medium"]}, False),
        ({"tags": "fraud"}, True),
        ({"tags": ["network", "c*"]}, True),
        ({"tags": "network"}, False),
        ({"key": {"card_id": "c1"}}, True),
        ({"key": {"card_id": ["c0", "c2"]}}, False),
        ({"key": {"amount": "12.5"}}, True),
        ({"key": {"merchant": "*"}}, False),
        ({"rule": "card_*", "severity": "low"}, False),
        ({}, True),
    ],
)
def test_a_matcher_fits_when_all_it_says_fits(matcher: dict[str, object], fits: bool) -> None:
    facts = Facts("card_testing", "high", TAGS["card_testing"], {"card_id": "c1", "amount": "12.5"})
    assert Matcher.model_validate(matcher).fits(facts) is fits


@pytest.mark.parametrize(
    "matcher",
    [
        {"rule": ""},
        {"rule": "x" * 201},
        {"rule": "*a" * 9},
        {"rule": ["r"] * 101},
        {"key": {"k": 3}},
        {"host": "h"},
    ],
)
def test_a_matcher_that_makes_no_sense_is_refused(matcher: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Matcher.model_validate(matcher)


def test_a_silence_needs_a_matcher_and_an_end_in_the_future(engine: Engine) -> None:
    year = 366 * 24 * HOUR_MS
    for matcher, starts_ms, ends_ms in (
        (Matcher(), NOW_MS, NOW_MS + 1),
        (Matcher(rule=("r",)), NOW_MS - 2, NOW_MS - 1),
        (Matcher(rule=("r",)), NOW_MS + 2, NOW_MS + 2),
        (Matcher(rule=("r",)), NOW_MS, NOW_MS + year + 1),
    ):
        with pytest.raises(Refused):
            silences.make_silence(
                engine,
                matcher,
                starts_ms=starts_ms,
                ends_ms=ends_ms,
                actor="ada",
                comment="",
                now_ms=NOW_MS,
            )
    assert list_silences(engine) == []


def test_the_preview_shows_what_would_be_hidden(engine: Engine, detect: Detect) -> None:
    for _ in range(3):
        detect("default", key="c1")
    detect("default", key="c2")
    detect("default", key="c1", rule="burst")
    drain(engine, SOC, NOW_MS)
    c1, _, _ = list_alerts(engine)
    found = preview(engine, Matcher(tags=("fraud",), key={"card_id": ("c1",)}), tags_of)
    assert [one.id for one in found.alerts] == [c1.id]
    assert (found.detections, found.looked_at) == (3, 5)
    assert list_silences(engine) == []


def test_a_snoozed_alert_hides_its_detections(engine: Engine, detect: Detect) -> None:
    detect("default", key="c1")
    drain(engine, SOC, NOW_MS)
    (episode,) = list_alerts(engine)
    lifecycle.snooze(engine, episode.id, By("ada", NOW_MS), NOW_MS + HOUR_MS)
    hidden = detect("default", key="c1")
    drain(engine, SOC, NOW_MS + HOUR_MS - 1)
    assert [one.hidden_by for one in detections_of(engine, episode.id)] == [None, "snooze"]
    assert hidden not in [row.detection_id for row in all_deliveries(engine)]
