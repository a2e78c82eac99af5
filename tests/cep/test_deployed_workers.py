"""Rules deployed while workers are killed: a replay from where they were taken up is the same."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine_cases import RULES, events
from sqlalchemy import delete, insert
from worker_runs import command, contents, kill_workers, read_so_far, running

from cep.deployment.base import Mode
from cep.deployment.deployer import Deployer
from cep.log import open_topic
from cep.log.topics import Topic
from cep.ports import ActivationRow
from cep.store.deployments import SqlDeployments
from cep.store.store import open_store
from cep.store.tables import activation, checkpoint, dead_letter, detection, outbox, page

EVENTS = 12_000
STEEPER = RULES.replace("10 * last", "40 * last").replace("within 20s", "within 30s")


def make_log(path: Path) -> str:
    url = f"{path}#t"
    log = open_topic(url, create=True, ahead_ms_max=10**12)
    log.declare(Topic("t", 4, "card"))
    lines = events(EVENTS, 11)
    for first in range(0, len(lines), 500):
        log.publish(b"".join(line + b"\n" for line in lines[first : first + 500]))
    log.close()
    return url


def deploy_now_and_then(path: Path, until: threading.Event) -> None:
    """As the program gets on: another text, a pause, and back, again and again."""
    store = open_store(str(path))
    deployer = Deployer(SqlDeployments(store.engine, "t"))
    while deployer.deployments.latest() is None:
        time.sleep(0.05)
    (name,) = deployer.latest().base.texts
    for number in range(12):
        while read_so_far(path) < number * EVENTS // 14 and not until.wait(0.05):
            pass
        deployer.deploy({name: (STEEPER, RULES)[number % 2]})
        deployer.set_mode(["hop"], (Mode.PAUSED, Mode.SHADOW, Mode.LIVE)[number % 3])
    store.close()


def forget_state(path: Path, placed: Mapping[str, Sequence[ActivationRow]]) -> None:
    """All but the deployments and where they were taken up, or that they never were."""
    store = open_store(str(path))
    numbers = [one.number for one in SqlDeployments(store.engine, "t").after(0)]
    missing = [
        {"partition": name, "deployment": number, "refused": "the log had ended"}
        for name, rows in placed.items()
        for number in numbers
        if number > rows[-1].deployment
    ]
    nowhere = {"position": 0, "watermark_ms": 0, "dropped": 0, "leaving": 0}
    with store.engine.begin() as connection:
        for table in (outbox, detection, dead_letter, page, checkpoint):
            connection.execute(delete(table))
        if missing:
            connection.execute(insert(activation), [row | nowhere for row in missing])
    store.close()


def test_a_replay_from_the_recorded_positions_is_what_killed_workers_found(tmp_path: Path) -> None:
    rules, store = tmp_path / "r.cep", tmp_path / "s.db"
    rules.write_text(RULES)
    source, over = make_log(tmp_path / "log.db"), threading.Event()
    deploying = threading.Thread(target=deploy_now_and_then, args=(store, over))
    arguments = command(rules, source, store, "--no-follow", "--workers", "2")
    with running(
        tmp_path, [*arguments, "--batch-records", "150", "--commit-interval", "20"]
    ) as run:
        deploying.start()
        killed = kill_workers(run, store, random.Random(2))
        run.process.wait(300)
        over.set()
        deploying.join()
        assert run.process.returncode == 0, run.said
    found = contents(store)
    assert killed and found["detections"]
    opened = open_store(str(store))
    deployments = SqlDeployments(opened.engine, "t")
    placed = {name: deployments.activations(name) for name, *_ in found["partitions"]}
    opened.close()
    assert sum(row.position > 0 for rows in placed.values() for row in rows) > 12
    for workers, batch in ((1, 997), (2, 65_536)):
        again = tmp_path / f"again{workers}.db"
        shutil.copy(store, again)
        forget_state(again, placed)
        more = ("--no-follow", "--workers", str(workers), "--batch-records", str(batch))
        subprocess.run(command(rules, source, again, *more), check=True, stdout=subprocess.DEVNULL)
        replayed = contents(again)
        for what in ("detections", "outbox", "dead letters"):
            assert replayed[what] == found[what], what
