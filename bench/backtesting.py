"""A back-test of one rule over an embedded log: alone, against another version, and as a server's.

The log is in the page cache and the kernels are compiled; the clock begins before the log is
opened.  As a server runs it, the time has the start of a process in it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import dsl
from bench import rulebook, workload
from bench.appender import TOPIC, append
from cep.backtest.history import open_history
from cep.backtest.jobs import BackTests
from cep.backtest.question import Question
from cep.backtest.request import Request
from cep.backtest.run import Run
from cep.deployment.deployer import Deployer
from cep.load import required
from cep.log.sqlite import SqliteLog
from cep.store.deployments import SqlDeployments
from cep.store.store import open_store
from dsl.model import RuleSet

EVENTS = 1_000_000
CHUNK_EVENTS = 10_000


def log_to_result(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """Seconds from asking to the result, the medians of `runs`."""
    text = rulebook.text(name)
    rules, other = _rules(text), _rules(_with_other_threshold(text))
    with workload.scratch() as folder:
        database = f"{folder}/log.db"
        append(database, n, head, float("inf"), CHUNK_EVENTS)
        questions = {
            "alone_seconds": Question(rules),
            "compared_seconds": Question(other, rules),
        }
        found: dict[str, object] = {"events": head, "runs": runs}
        for figure, question in questions.items():
            found[figure] = _seconds(lambda asked=question: _run(asked, database), runs)
        found["served_seconds"] = _served(text, database, runs)
    return found


def _run(question: Question, database: str) -> None:
    history = open_history(f"{database}#{TOPIC}")
    run = Run(question, history)
    for _ in run.steps():
        pass
    run.result().to_json()
    history.close()


def _served(text: str, database: str, runs: int) -> float:
    store, log = open_store(database), SqliteLog(database, TOPIC)
    deployments = SqlDeployments(store.engine, TOPIC)
    Deployer(deployments, log.topic).start({"rules.cep": text})
    backtests = BackTests(store.engine, deployments, f"{database}#{TOPIC}")
    thread = threading.Thread(target=backtests.run)
    thread.start()

    def ask() -> None:
        id_ = backtests.submit(Request(topic=TOPIC, deployment=1), "bench")
        while (row := backtests.get(id_)) is None or not row.state.over:
            time.sleep(0.005)
        assert row.error is None, row.error

    try:
        return _seconds(ask, runs)
    finally:
        backtests.stop()
        thread.join()
        log.close()
        store.close()


def _seconds(once: Callable[[], None], runs: int) -> float:
    once()  # whatever is made at the first time
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - begin)
    return round(median(seconds), 3)


def _rules(text: str) -> RuleSet:
    return replace(required(dsl.load_sources([dsl.Source("rules.cep", text)])), tests=())


def _with_other_threshold(text: str) -> str:
    """Another version of the rule: its first bound a tenth higher."""
    changed = re.sub(
        r"([<>]) (\d+)", lambda found: f"{found[1]} {int(found[2]) * 11 // 10 + 1}", text, count=1
    )
    assert changed != text
    return changed
