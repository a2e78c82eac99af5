"""One life of the program: the real engine and the real dispatcher in a simulated world.

Engine and dispatcher take turns, as the world's seed has it: the dispatcher moves while the engine
reads or sleeps, by single transactions and messages.  Outside, a client goes through the steps of
the scenario, and goes on where it was after a crash.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any

from sim_scenarios import Append, Change, Deploy, Reload, Restart, Scenario, Silence, Step, Wait
from simulated_loop import SimulatedLoop
from simulated_world import Effects, SimulatedHttpSender, SimulatedSmtpSender, World

import cep
from alerts.dispatcher import Dispatcher
from alerts.limits import POLL_INTERVAL_MS
from cep.deployment.deployer import Deployer
from cep.engine import Engine
from cep.idle import Ticks
from cep.log.positional import Positional
from cep.log.sqlite import SqliteLog
from cep.ports import Records
from cep.store.deployments import SqlDeployments
from cep.store.store import SqlStore
from cep.tables.frames import GivenSource
from dsl.model import RuleSet

TOPIC = "t"
_LOOKS_EVERY_MS = 1_400  # an engine that finds nothing, so that silence costs few looks


@cache
def compiled(rules: str) -> RuleSet:
    return cep.compile(rules)


class Process:
    """`run` returns when the scenario is over, or has asked for a restart; or it raises `Crash`."""

    def __init__(self, world: World, scenario: Scenario, effects: Effects) -> None:
        self._world = world
        self._scenario = scenario
        self._effects = effects
        self._loop = SimulatedLoop(world.clock)
        self._change: Future[Any] | None = None
        self._told = False
        self._silent_ms = 0

    def run(self) -> None:
        try:
            self._run()
        finally:
            self._loop.end()

    def _run(self) -> None:
        world, scenario, effects = self._world, self._scenario, self._effects
        database = world.disk.open(effects)
        self._log = SqliteLog(database, TOPIC, clock=world.clock)
        self._dispatcher = Dispatcher(
            database,
            scenario.destinations,
            clock=world.clock,
            http=SimulatedHttpSender(world.receivers, effects),
            smtp=SimulatedSmtpSender(world.receivers, effects),
            jitter=world.random.random,
        )
        store = SqlStore(database)
        deployments = SqlDeployments(database, TOPIC, clock=world.clock)
        self._deployer = Deployer(deployments)
        if scenario.deploys:
            self._deployer.start({"rules.cep": world.rules})
        self._engine = Engine(
            compiled(world.rules),
            _Log(self._log, self),
            store,
            clock=_Clock(self),
            batch_records=scenario.batch_records,
            commit_interval_ms=scenario.commit_interval_ms,
            tables={name: GivenSource(rows) for name, rows in world.rows.items()},
            ticks=Ticks(self._log, TOPIC, scenario.idle_ms) if scenario.idle_ms else None,
            deployments=deployments if scenario.deploys else None,
        )
        stop = asyncio.Event()
        self._delivering = self._loop.create_task(self._dispatcher.run(stop))
        before = world.done
        self._engine.run()
        if before != world.done and isinstance(scenario.steps[world.done - 1], Restart):
            return
        self._deliver_all()
        stop.set()
        self._loop.run_until_complete(self._delivering)

    # ------------------------------------------------------------------------------- scheduling

    def others_run(self) -> None:
        """While the engine reads: the dispatcher by a few turns, and the client may append."""
        for _ in range(self._world.random.choice((0, 0, 1, 2, 5))):
            self._loop.turn()
            self._check()
        if self._world.random.random() < 0.5 and isinstance(self._next_step(), Append):
            self._append()

    def engine_sleeps(self, duration_ms: int) -> None:
        """All that was read is committed: the client does its next step."""
        with self._effects.effect():
            step = self._next_step()
            if step is None:
                self._engine.stop()
            else:
                self._act(step)
            self._loop.turn(duration_ms / 1000)
        self._check()

    @property
    def source_ended(self) -> bool:
        return self._scenario.ends and self._next_step() is None

    def _check(self) -> None:
        """A crash in a task of the dispatcher is one of the whole process."""
        if self._effects.dead:
            self._effects.place()

    def _deliver_all(self) -> None:
        """Until nothing is left to deliver; while nothing changes, time is skipped."""
        query = """
            select id, state, attempts, max(next_attempt_ms, coalesce(probe_ms, 0)) as due_ms
            from delivery left join breaker using (destination)
            where state not in ('delivered', 'dead')
        """
        before: list[tuple[Any, ...]] = []
        while True:
            self._loop.turn(POLL_INTERVAL_MS / 1000)
            self._check()
            if self._delivering.done():
                self._delivering.result()  # raises: it ends by itself for a fault only
            unfinished = self._world.disk.rows(query)
            if not unfinished and not self._world.disk.rows("select 1 from outbox"):
                return
            later = [row[3] for row in unfinished if row[3] > self._world.clock.at_ms]
            if unfinished == before and later:
                self._world.clock.at_ms = min(later)
            before = unfinished

    # ------------------------------------------------------------------------------- the client

    def _next_step(self) -> Step | None:
        steps, done = self._scenario.steps, self._world.done
        return steps[done] if done < len(steps) else None

    def _act(self, step: Step) -> None:
        world = self._world
        match step:
            case Append():
                self._append()
            case Change(table, upserts, deletes):
                if self._change is None:
                    self._change = self._engine.change_rows(table, upserts, deletes)
                elif self._change.done():
                    self._change.result()
                    self._change = None
                    self._finished()
            case Reload(table, rows):
                if not self._told:
                    world.rows.setdefault(table, [])[:] = rows
                    self._engine.reload_tables()
                else:
                    self._finished()
                self._told = not self._told
            case Restart() | Deploy() if not self._settled:
                pass  # wait: rules have to change at the same record whatever crashes
            case Restart(rules):
                world.rules = rules
                self._engine.stop()
                self._finished()
            case Deploy():
                self._deploy(step)
            case Wait(duration_ms):
                world.clock.advance(duration_ms)
                self._finished()
            case Silence(duration_ms):
                self._loop.turn(_LOOKS_EVERY_MS / 1000)
                self._silent_ms += _LOOKS_EVERY_MS
                if self._silent_ms >= duration_ms:
                    self._silent_ms = 0
                    self._finished()

    @property
    def _settled(self) -> bool:
        """Whether all there is has been read, and what it gave committed."""
        ((end,),) = self._world.disk.rows(
            "select coalesce(max(position + count), 0) from log_chunk"
        )
        return self._world.disk.rows("select position from checkpoint") == [(end,)]

    def _deploy(self, step: Deploy) -> None:
        """Records the deployment unless it is there, and waits until it is taken up."""
        done = self._world.done
        number = 2 + sum(isinstance(one, Deploy) for one in self._scenario.steps[:done])
        if self._deployer.latest().number < number:
            if step.text:
                self._deployer.deploy({"rules.cep": step.text}, policy=step.policy)
            else:
                self._deployer.set_mode(step.rules, step.mode, step.policy)
        elif self._deployer.deployments.placed(number):
            self._finished()

    def _append(self) -> None:
        """Appends the lines of the step, unless they are there: an answer may have got lost."""
        steps, done = self._scenario.steps, self._world.done
        before = sum(len(step.lines) for step in steps[:done] if isinstance(step, Append))
        step = steps[done]
        assert isinstance(step, Append)
        ((there,),) = self._world.disk.rows(
            "select coalesce(sum(count), 0) from log_chunk where tick_ms is null"
        )
        if there == before:
            self._log.append(TOPIC, b"".join(line + b"\n" for line in step.lines))
        self._finished()

    def _finished(self) -> None:
        self._world.done += 1
        self._effects.lasts()


@dataclass(frozen=True, slots=True)
class _Clock:
    process: Process

    def now_ms(self) -> int:
        return self.process._world.clock.now_ms()

    def sleep_ms(self, duration_ms: int) -> None:
        self.process.engine_sleeps(duration_ms)


class _Log(Positional):
    """The embedded log; while it is read, others run."""

    def __init__(self, log: SqliteLog, process: Process) -> None:
        self._log, self._process = log, process
        self.partitions, self.mark, self.end = log.partitions, log.mark, log.end
        self.append, self.close = log.append, log.close

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        self._process.others_run()
        records = self._log.read(partition, position, max_records)
        assert records is not None
        return None if records.count == 0 and self._process.source_ended else records
