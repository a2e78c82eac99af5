"""From outbox to receiver: 10,000 alerts, each to one webhook on this machine, the log kept.

The receiver is a process of its own that answers 200 at once and keeps connections open.  What is
measured is the dispatcher's time from a full outbox to the last recorded attempt: alerts opened,
messages rendered, signed, sent, and every attempt written down.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import structlog
from sqlalchemy import Engine, func, insert, select

from alerts.config import Destinations
from alerts.dispatcher import Dispatcher
from bench import workload
from cep.store.connect import open_database, reading
from cep.store.schema import prepare
from cep.store.tables import delivery_attempt, detection, outbox

ALERTS = 10_000
CONCURRENCY = 16  # messages under way
_SECRET = "BENCH_HOOK_SECRET"


def outbox_to_receiver(name: str, n: int, alerts: int, runs: int) -> dict[str, object]:
    """Deliveries a second of `alerts` alerts, the median of `runs` and the whole spread."""
    # Each attempt is logged, too; lines on a terminal are not what is measured.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    os.environ[_SECRET] = "whsec_" + base64.b64encode(bytes(32)).decode()
    rates = sorted(round(alerts / _seconds(alerts)) for _ in range(runs))
    return {
        "alerts": alerts,
        "concurrency": CONCURRENCY,
        "deliveries_per_second": round(statistics.median(rates)),
        "runs": rates,
    }


def _seconds(alerts: int) -> float:
    with workload.scratch() as folder:
        engine = open_database(str(Path(folder) / "store.db"))
        prepare(engine)
        _fill(engine, alerts)
        with subprocess.Popen(
            [sys.executable, "-m", "bench.receiver"], stdout=subprocess.PIPE, text=True
        ) as receiver:
            assert receiver.stdout is not None
            others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
            with suppress(OSError):  # not allowed there: it shares this core
                os.sched_setaffinity(receiver.pid, others or os.sched_getaffinity(0))
            port = int(receiver.stdout.readline())
            started = time.perf_counter()
            asyncio.run(_deliver(engine, port, alerts))
            seconds = time.perf_counter() - started
            receiver.terminate()
        engine.dispose()
    return seconds


async def _deliver(engine: Engine, port: int, alerts: int) -> None:
    stop = asyncio.Event()
    delivering = asyncio.create_task(Dispatcher(engine, _destinations(port)).run(stop))
    while await asyncio.to_thread(_recorded, engine) < alerts:
        await asyncio.sleep(0.1)
    stop.set()
    await delivering


def _recorded(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(delivery_attempt)) or 0


def _destinations(port: int) -> Destinations:
    return Destinations.model_validate(
        {
            "network": {"allow": ["127.0.0.1"], "ports": [port]},
            "destinations": {
                "soc": {
                    "type": "webhook",
                    "url": f"http://127.0.0.1:{port}/",
                    "secrets": [{"env": _SECRET}],
                    "concurrency": CONCURRENCY,
                }
            },
        }
    )


def _fill(engine: Engine, alerts: int) -> None:
    """Detections of about 600 bytes, each of a key of its own."""
    body = re.sub(
        r"\s+",
        " ",
        """{"id":"%s","rule":"card_testing","version":"0123456789abcdef","key":{"card_id":"c%d"},
        "at":"2024-12-10T06:55:46.000Z","severity":"high","message":"3 declines, then 250.00",
        "fields":{"hit.amount":250.0},"events":[{"step":"probe","position":11,"event":{"type":
        "Payment","card_id":"c1","amount":1.0,"status":"declined","merchant":"m1","country":"DE"}},
        {"step":"hit","position":12,"event":{"type":"Payment","card_id":"c1","amount":250.0,
        "status":"approved","merchant":"m2","country":"DE"}}]}""",
    )
    ids = [f"{number:032x}" for number in range(alerts)]
    with engine.begin() as connection:
        connection.execute(
            insert(detection),
            [
                {
                    "id": id_,
                    "partition": "payments",
                    "rule": "card_testing",
                    "version": "0123456789abcdef",
                    "severity": "high",
                    "at_ms": 1_733_813_746_000 + number,
                    "body": (body % (id_, number)).encode(),
                }
                for number, id_ in enumerate(ids)
            ],
        )
        connection.execute(
            insert(outbox), [{"detection_id": id_, "destination": "soc"} for id_ in ids]
        )
