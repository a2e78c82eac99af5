"""Engine, dispatcher and API together: the composition behind `cep serve`.

The engine, or the supervisor of its workers, runs in a thread of its own; dispatcher and API share
an event loop.  When one of them ends, all end: an engine that stops for a reason ends the program
with that reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

import uvicorn

from alerts.config import Destinations
from alerts.dispatcher import Dispatcher
from api.app import create_app
from api.state import LOOPBACK_HOSTS, ApiState
from cep.asking import Asking
from cep.backtest.jobs import BackTests
from cep.cli.output import say
from cep.deployment.deployer import Deployer
from cep.errors import UsageError
from cep.log.publishing import TopicLog
from cep.store.store import SqlStore
from cep.workers.job import Job
from cep.workers.runner import Runner
from dsl.model import RuleSet

_SHUTDOWN_SECONDS = 5


class _Server(uvicorn.Server):
    """Signals are handled by `Service`, for all parts at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Service:
    def __init__(
        self,
        rules: RuleSet,
        deployer: Deployer,
        store: SqlStore,
        log: TopicLog,
        destinations: Destinations,
        runner: Runner,
        *,
        host: str,
        port: int,
        hosts: tuple[str, ...],
        asking: Asking,
        authentication: bool,
        requests_per_second: float,
        backtests: BackTests | None,
    ) -> None:
        self._runner = runner
        self._backtests = backtests
        self._failure: BaseException | None = None
        self._socket = _listen(host, port)
        state = ApiState(
            engine=store.engine,
            started_with=rules,
            deployer=deployer,
            backtests=backtests,
            asking=asking,
            destinations=destinations,
            log=log,
            health=self._health,
            intake=runner.intake,
            hosts=("*",) if "*" in hosts else (*LOOPBACK_HOSTS, host, *hosts),
            authentication=authentication,
            requests_per_second=requests_per_second,
        )
        self._streams = state.streams
        self._dispatcher = Dispatcher(store.engine, destinations, tags_of=state.tags_of)
        config = uvicorn.Config(
            create_app(state),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        self._server = _Server(config)

    def run(self) -> None:
        """Until a signal, or until a part fails; raises what the engine stopped with."""
        asyncio.run(self._run())
        if self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._runner.reload_tables)
        thread = threading.Thread(
            target=self._run_engine, args=(loop, stop), name="engine", daemon=True
        )
        thread.start()
        jobs = self._start_backtests()
        address, port = self._socket.getsockname()[:2]
        say(f"listening on http://{address}:{port}")
        server = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        dispatcher = asyncio.create_task(self._dispatcher.run(stop))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({server, dispatcher, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        self._streams.close()
        self._server.should_exit = True
        self._runner.stop()
        if self._backtests is not None:
            self._backtests.stop()
        await asyncio.gather(server, dispatcher)
        if jobs is not None:
            await asyncio.to_thread(jobs.join)
        await asyncio.to_thread(thread.join)

    def _start_backtests(self) -> threading.Thread | None:
        if self._backtests is None:
            return None
        thread = threading.Thread(target=self._backtests.run, name="back-tests", daemon=True)
        thread.start()
        return thread

    def _run_engine(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        try:
            self._runner.run()
        except BaseException as error:
            self._failure = error
        loop.call_soon_threadsafe(stop.set)

    def _health(self) -> str | None:
        if self._failure is not None:
            return f"the engine stopped: {self._failure}"
        return self._runner.trouble()


def backtests_of(job: Job, deployer: Deployer, store: SqlStore, at_once: int) -> BackTests | None:
    """Over the log of the job, with its tables."""
    if not at_once:
        return None
    deployments = deployer.deployments
    return BackTests(store.engine, deployments, job.log, job.tables, at_once, say=say)


def _listen(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        return socket.create_server((name, port), family=family)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from error
