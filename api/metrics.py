"""GET /metrics: Prometheus text, read from the store at each scrape.

So the figures survive a restart and hold for whichever process asks; counters of events are those
of the last commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from alerts.alert import AlertState
from alerts.alert_listings import alerts_by_state
from alerts.deliveries import disabled_destinations, read_breakers
from alerts.listings import attempts_by_reason, counts_by_state, outbox_rows
from alerts.reasons import State
from api.health import records_behind
from api.state import ApiState, state_of
from cep.intake import Intake
from cep.limits import BEGINNING_OF_TIME_MS, END_OF_TIME_MS
from cep.store import reads

router = APIRouter(tags=["operations"])

EVENT_COUNTERS = {
    "received": "Records read from the log that are not blank.",
    "processed": "Events that took their place in event time.",
    "late": "Events behind the watermark; they are not evaluated.",
    "dead_lettered": "Records that could not become events.",
    "quarantined": "Events too far ahead of their ingest; they are not evaluated.",
    "ignored": "Events of types that no rule reads.",
}

RULE_COUNTERS = {
    ("cep_detections_suppressed", "suppressed"): "Detections hidden by `suppress`.",
    ("cep_events_derived", "derived"): "Events that rules emitted.",
    ("cep_events_not_derived", "not_derived"): "Emitted events that their declaration refuses.",
    ("cep_partial_matches_expired", "expired"): "Partial matches that ran out of time.",
    ("cep_partial_matches_capped", "capped"): "Partial matches refused at a limit.",
    (
        "cep_partial_matches_cancelled",
        "cancelled",
    ): "Partial matches ended by `cancel on`, or with their key's row.",
    ("cep_skips_missed", "skips_missed"): "Matches without the step that `skip to` names.",
    ("cep_open_keys_forgotten", "forgotten"): "Keys that rules remembered, beyond the limit.",
    ("cep_detections_shadowed", "shadowed"): "Detections of rules in shadow: nobody is told.",
    ("cep_resolutions", "resolutions"): "Times that what was detected for a key was over.",
    ("cep_events_unkeyed", "unkeyed"): "Times a rule passed over an event without its key.",
}


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus's text format"}},
)
def metrics(state: Annotated[ApiState, Depends(state_of)]) -> Response:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StoreCollector(state))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _StoreCollector(Collector):
    def __init__(self, state: ApiState) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        return []  # registering must not query the store

    def collect(self) -> Iterator[Metric]:
        yield from self._events()
        yield from self._time()
        yield from self._intake()
        yield from self._rules()
        yield from self._alerts()
        yield from self._deliveries()

    def _events(self) -> Iterator[Metric]:
        partitions = reads.partitions(self._state.engine)
        for name, meaning in EVENT_COUNTERS.items():
            family = CounterMetricFamily(f"cep_events_{name}", meaning, labels=["partition"])
            for partition in partitions:
                family.add_metric([partition.partition], partition.counters.get(name, 0))
            yield family
        for (name, counter), meaning in RULE_COUNTERS.items():
            family = CounterMetricFamily(name, meaning, labels=["partition"])
            for partition in partitions:
                family.add_metric([partition.partition], partition.counters.get(counter, 0))
            yield family

    def _rules(self) -> Iterator[Metric]:
        engine = self._state.engine
        rules = {rule.name for rule in self._state.current().rules.rules}
        detections = CounterMetricFamily("cep_detections", "Detections committed.", labels=["rule"])
        counts = reads.detections_per_rule(engine)
        for rule in sorted(rules | set(counts)):
            detections.add_metric([rule], counts.get(rule, 0))
        capped = CounterMetricFamily(
            "cep_rule_partial_matches_capped",
            "Partial matches that a rule was refused at a limit: with any it is degraded.",
            labels=["rule"],
        )
        refused = reads.capped_per_rule(engine)
        for rule in sorted(rules):
            capped.add_metric([rule], refused.get(rule, 0))
        yield from (detections, capped)

    def _time(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "cep_watermark_lag_seconds",
            "How far the watermark is behind the wall clock; absent before the first event "
            "and after the end of a finite source.",
            labels=["partition"],
        )
        position = GaugeMetricFamily(
            "cep_partition_position", "The next record to read.", labels=["partition"]
        )
        behind = GaugeMetricFamily(
            "cep_records_behind", "Records of the log not yet committed.", labels=["partition"]
        )
        now_ms = self._state.clock.now_ms()
        for partition in reads.partitions(self._state.engine):
            name = partition.partition
            position.add_metric([name], partition.position)
            if BEGINNING_OF_TIME_MS < partition.watermark_ms < END_OF_TIME_MS:
                lag.add_metric([name], (now_ms - partition.watermark_ms) / 1000)
        for name, records in records_behind(self._state).items():
            if records is not None:
                behind.add_metric([name], records)
        yield from (lag, position, behind)

    def _intake(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "cep_intake",
            "1 for the state of reading: flowing, held while the outbox is full, or slowed by "
            "commits that take long.",
            labels=["partition", "state"],
        )
        for name, now in sorted(self._state.intake().items()):
            for one in Intake:
                family.add_metric([name, one], one is now)
        yield family

    def _alerts(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("cep_alerts", "Alerts by their state.", labels=["state"])
        counts = alerts_by_state(self._state.engine)
        for one in AlertState:
            family.add_metric([one], counts.get(one, 0))
        yield family

    def _deliveries(self) -> Iterator[Metric]:
        engine = self._state.engine
        family = GaugeMetricFamily(
            "cep_deliveries", "Deliveries by their state.", labels=["destination", "state"]
        )
        counts = counts_by_state(engine)
        for destination in sorted({name for name, _ in counts}):
            for one in State:
                family.add_metric([destination, one], counts.get((destination, one), 0))
        yield family
        attempts = CounterMetricFamily(
            "cep_delivery_attempts", "Attempts by what came of them.", labels=["reason"]
        )
        for reason, count in sorted(attempts_by_reason(engine).items()):
            attempts.add_metric([reason], count)
        yield attempts
        disabled = GaugeMetricFamily(
            "cep_destination_disabled", "1 for a destination switched off.", labels=["destination"]
        )
        for name in sorted(disabled_destinations(engine)):
            disabled.add_metric([name], 1)
        yield disabled
        failing = GaugeMetricFamily(
            "cep_destination_failures",
            "Attempts in a row that failed for the destination's sake.",
            labels=["destination"],
        )
        for name, breaker in sorted(read_breakers(engine).items()):
            failing.add_metric([name], breaker.failures)
        yield failing
        yield GaugeMetricFamily(
            "cep_outbox_rows", "Outbox rows no dispatcher has taken yet.", value=outbox_rows(engine)
        )
