"""Deployments of a store: recorded, taken up at a position, replayed from it, refused."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
from engine_cases import BASE_MS, RULES, ManualClock, events
from sqlalchemy import delete

import cep
from cep.deployment.base import Mode, RuleBase
from cep.deployment.deployer import Deployer
from cep.deployment.switch import Policy
from cep.engine import Engine
from cep.errors import RulesError, StaleDeployment, UsageError
from cep.log.sqlite import SqliteLog
from cep.store import reads
from cep.store.deployments import SqlDeployments
from cep.store.store import SqlStore, open_store
from cep.store.tables import checkpoint, detection, outbox, page

STEEPER = RULES.replace("10 * last", "40 * last").replace("within 20s", "within 30s")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(str(tmp_path / "s.db"))
    yield opened
    opened.close()


def deployer_of(store: SqlStore) -> Deployer:
    return Deployer(SqlDeployments(store.engine, "t"))


class Running:
    """An engine whose client appends and deploys while it sleeps."""

    def __init__(self, store: SqlStore, batch_records: int = 65_536) -> None:
        self.clock = ManualClock(BASE_MS)
        self.said: list[str] = []
        self.log = SqliteLog(store.engine, "t", clock=self.clock, ahead_ms_max=10**12)
        self.engine = Engine(
            cep.compile(RULES),
            self.log,
            store,
            clock=self.clock,
            notify=self.said.append,
            batch_records=batch_records,
            deployments=SqlDeployments(store.engine, "t", clock=self.clock),
        )

    def until_idle(self) -> Running:
        """Reads all there is; the clock goes on, so that deployments are looked for."""
        looks = iter(range(30))

        def stop() -> None:
            if next(looks, None) is None:
                self.engine.stop()

        self.clock.on_sleep = stop
        self.engine.run()
        return self


def bodies(store: SqlStore) -> list[bytes]:
    return [found.body for found in reads.detections(store.engine, limit=1000)]


def positions(store: SqlStore) -> dict[int, int]:
    rows = SqlDeployments(store.engine, "t").activations("t")
    return {row.deployment: row.position for row in rows}


def forget_state(store: SqlStore) -> None:
    """All but the log, the deployments and where they were taken up."""
    with store.engine.begin() as connection:
        for table in (outbox, detection, page, checkpoint):
            connection.execute(delete(table))


def append(store: SqlStore, lines: Sequence[bytes]) -> None:
    log = SqliteLog(store.engine, "t", clock=ManualClock(BASE_MS), ahead_ms_max=10**12)
    log.append("t", b"".join(line + b"\n" for line in lines))


def test_replay_from_the_recorded_positions_detects_the_same_bytes(store: SqlStore) -> None:
    lines, deployer = events(240, 9), deployer_of(store)
    deployer.start({"r.cep": RULES})
    changes = (
        lambda: deployer.deploy({"r.cep": STEEPER}),
        lambda: deployer.set_mode(["hop"], Mode.SHADOW),
        lambda: deployer.set_mode(["unblocked"], Mode.PAUSED),
        lambda: deployer.roll_back("escalation"),
        lambda: deployer.set_mode(["hop", "unblocked"], Mode.LIVE, Policy.DROP),
    )
    for number, change in enumerate(changes):
        append(store, lines[number * 40 : number * 40 + 40])
        Running(store).until_idle()
        change()
    append(store, lines[200:])
    Running(store).until_idle()
    found = bodies(store)
    assert positions(store) == {1: 0, 2: 40, 3: 80, 4: 120, 5: 160, 6: 200}
    assert any(b'"shadow":true' in body for body in found)
    for batch_records in (1, 7, 1000):
        forget_state(store)
        Running(store, batch_records).until_idle()
        assert bodies(store) == found
        assert positions(store) == {1: 0, 2: 40, 3: 80, 4: 120, 5: 160, 6: 200}


def test_deployed_while_events_flow_it_is_taken_up_in_between(store: SqlStore) -> None:
    """Wherever that is: a replay from there gives the same."""
    rng, lines, deployer = random.Random(3), events(300, 10), deployer_of(store)
    deployer.start({"r.cep": RULES})
    running, given = Running(store, batch_records=9), iter(lines)
    texts = iter([STEEPER, RULES, STEEPER, RULES])

    def others() -> None:
        running.clock.at_ms += 50
        chunk = list(islice(given, rng.randrange(1, 40)))
        if not chunk and (text := next(texts, None)) is None:
            running.engine.stop()
        elif chunk:
            append(store, chunk)
            if rng.random() < 0.3 and (text := next(texts, None)) is not None:
                deployer.deploy({"r.cep": text})

    running.clock.on_sleep = others
    running.engine.run()
    found, places = bodies(store), positions(store)
    assert len(places) > 2 and max(places.values()) > 0
    forget_state(store)
    Running(store, 1).until_idle()
    assert (bodies(store), positions(store)) == (found, places)


def test_bad_text_changes_nothing(store: SqlStore) -> None:
    deployer = deployer_of(store)
    deployer.start({"r.cep": RULES})
    with pytest.raises(RulesError, match=r"x\.cep:2:7: error"):
        deployer.deploy({"x.cep": "rule x { by card\nmatch Nothing\nalert 'x' }"})
    with pytest.raises(UsageError, match="no rule 'hopp'; did you mean hop"):
        deployer.set_mode(["hopp"], Mode.PAUSED)
    assert deployer.latest().number == 1


def test_two_who_deploy_at_once_do_not_undo_one_another(store: SqlStore) -> None:
    deployer = deployer_of(store)
    deployer.start({"r.cep": RULES})
    deployer.deploy({"r.cep": STEEPER}, made_from=1)
    with pytest.raises(StaleDeployment, match="deployment 2 was made meanwhile"):
        deployer.set_mode(["hop"], Mode.PAUSED, made_from=1)


def test_what_the_engine_cannot_run_is_refused_and_told(store: SqlStore) -> None:
    """Rows of a table that are not there: nobody but the engine looks for them."""
    deployer, missing = deployer_of(store), 'table t { k: string @pk } from file "none/t.csv"\n'
    deployer.start({"r.cep": RULES})
    append(store, events(40, 4))
    Running(store).until_idle()
    text = missing + 'rule q { by card match p: Payment[exists t[card]] alert "q" }\n'
    deployer.deploy({"q.cep": text})
    running = Running(store).until_idle()
    refused = deployer.deployments.placed(2)["t"].refused
    assert refused is not None and "none/t.csv" in refused
    assert any("is refused" in said for said in running.said)
    append(store, events(80, 4)[40:])
    Running(store).until_idle()
    assert positions(store)[2] == 40
    found = bodies(store)
    forget_state(store)
    Running(store, 3).until_idle()
    assert bodies(store) == found != []


def test_files_that_have_not_changed_since_leave_what_was_deployed(store: SqlStore) -> None:
    deployer = deployer_of(store)
    deployer.start({"r.cep": RULES})
    deployer.deploy({"r.cep": STEEPER})
    assert not deployer.start({"r.cep": RULES}).changed
    assert deployer.latest().base.texts == {"r.cep": STEEPER}
    louder = RULES.replace("severity low", "severity critical")
    assert deployer.start({"r.cep": louder}).changed
    assert deployer.latest().base.texts == {"r.cep": louder}


def test_a_rule_deployed_alone_stands_beside_the_file_that_had_it(store: SqlStore) -> None:
    deployer = deployer_of(store)
    deployer.start({"r.cep": RULES})
    before = {rule.name: rule.version for rule in cep.compile(RULES).rules}
    hop = RULES[RULES.index("rule hop") :]
    done = deployer.deploy({"hop.cep": hop.replace("within 20s", "within 5s")})
    after = {rule.name: rule.version for rule in done.rules.rules}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"hop"}
    back = deployer.roll_back("hop")
    assert {rule.name: rule.version for rule in back.rules.rules} == before
    assert list(back.base.texts) == ["r.cep", "rollback/hop.cep"]
    with pytest.raises(UsageError, match="no earlier text"):
        deployer.roll_back("unblocked")


def test_a_base_returns_to_what_it_was(store: SqlStore) -> None:
    deployer = deployer_of(store)
    first = deployer.start({"r.cep": RULES}).base
    deployer.deploy({"r.cep": STEEPER}, Mode.SHADOW)
    assert deployer.return_to(1).base == first


def test_rules_from_outside_name_no_files(store: SqlStore) -> None:
    deployer = deployer_of(store)
    deployer.start({"r.cep": RULES})
    text = 'list l: [string] from file "passwd.txt"\n'
    text += 'rule q { by card match p: Payment[card in l] alert "q" }\n'
    with pytest.raises(UsageError, match="on the machine itself"):
        deployer.deploy({"q.cep": text}, outside=True)
    assert deployer.latest().number == 1


def test_tests_of_a_rule_go_with_its_old_text() -> None:
    base = RuleBase({"a.cep": 'rule x { match A alert "x" }\ntest x "t" { }\nrule y { match A }\n'})
    edited = base.with_text("b.cep", "rule x { match B }")
    assert edited.texts["a.cep"].split() == ["rule", "y", "{", "match", "A", "}"]
    assert edited.texts["a.cep"].count("\n") == 3
    assert edited.rules == ("y", "x")
