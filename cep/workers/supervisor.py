"""Worker processes for the partitions of a log: started, watched, started again, stopped.

Partition i belongs to worker i mod N.  A worker that dies is started again, later each time it dies
in a row; it takes its partitions over as any start does, so nothing is missing or doubled.  A
worker that stops for a named reason (a `CepError`) ends all: starting it again would not help.
Without a store nothing could be taken over, and any death ends all.

Workers are spawned, never forked: the supervisor may live in a process with threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from cep import limits
from cep.engine import Summary
from cep.errors import WorkerError
from cep.intake import Intake
from cep.workers.job import Job, Listener
from cep.workers.messages import Dead, Ended, Failed, Message, Order, Reading, Said, Shown
from cep.workers.worker import work

_LOOK_SECONDS = 0.05  # how soon a call from a signal handler or thread is noticed
_SPAWN = multiprocessing.get_context("spawn")


class Supervisor:
    """`stop` and `reload_tables` may be called from a signal handler or thread."""

    def __init__(
        self, job: Job, partitions: Sequence[str], workers: int, listener: Listener
    ) -> None:
        assert 1 <= workers <= len(partitions)
        self._job = job
        self._partitions = partitions
        self._listener = listener
        self._crew = [
            _Place(f"worker {number + 1} of {workers}", partitions[number::workers])
            for number in range(workers)
        ]
        self._stopping = False
        self._reload = False
        self._kill_at: float | None = None

    def run(self) -> Sequence[Summary]:
        """Until every source has ended, or `stop`; raises WorkerError for what ends all."""
        try:
            for place in self._crew:
                self._launch(place)
            while not all(place.over for place in self._crew):
                self._pass_orders_on()
                for place in self._crew:
                    if place.process is None and time.monotonic() >= place.start_at:
                        self._launch(place)
                self._listen()
        finally:
            for place in self._crew:
                place.kill()
        found = {one.partition: one for place in self._crew for one in place.summaries}
        return [found[name] for name in self._partitions if name in found]

    def stop(self) -> None:
        self._stopping = True

    def reload_tables(self) -> None:
        self._reload = True

    def trouble(self) -> str | None:
        """Why something is not read at the moment."""
        for place in self._crew:
            if not place.reading:
                return f"{place.name} is starting" + (", after it died" if place.deaths else "")
        return None

    def intake(self) -> Mapping[str, Intake]:
        return {name: now for place in self._crew for name, now in place.intake.items()}

    @property
    def processes(self) -> Sequence[int]:
        """The ids of the worker processes that there are."""
        running = [place.process for place in self._crew if place.process is not None]
        return [process.pid for process in running if process.pid is not None]

    # ------------------------------------------------------------------------------------ orders

    def _pass_orders_on(self) -> None:
        if self._reload:
            self._reload = False
            for place in self._crew:
                place.tell(Order.RELOAD_TABLES)
        if self._stopping and self._kill_at is None:
            self._kill_at = time.monotonic() + limits.DRAIN_MS_MAX / 1000
            for place in self._crew:
                place.tell(Order.STOP)
                place.over = place.over or place.process is None
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            for place in self._crew:
                if not place.over:
                    self._listener.say(f"{place.name} did not end in time: it is killed")
                    place.over = True

    def _launch(self, place: _Place) -> None:
        if self._stopping or place.over:
            return
        place.launch(self._job)
        assert place.process is not None
        self._listener.say(
            f"{place.name}, process {place.process.pid}: {', '.join(place.partitions)}"
        )

    # ---------------------------------------------------------------------------------- messages

    def _listen(self) -> None:
        by_pipe = {place.pipe: place for place in self._crew if place.pipe is not None}
        if not by_pipe:
            time.sleep(_LOOK_SECONDS)
        for pipe in wait(list(by_pipe), _LOOK_SECONDS):
            place = by_pipe[pipe]  # type: ignore[index]  # only pipes were waited for
            message = place.receive()
            if message is None:
                self._died(place)
            else:
                self._take(place, message)

    def _take(self, place: _Place, message: Message) -> None:
        match message:
            case Shown(lines):
                self._listener.show(lines)
            case Said(sentence):
                self._listener.say(sentence)
            case Dead(partition, letters):
                self._listener.dead_letters(partition, letters)
            case Reading():
                place.note(message)
                self._listener.progress(sum(each.records for each in self._crew))
            case Ended(summaries):
                place.summaries = summaries
                # Told to stop by somebody else, it is started again.
                place.over = self._stopping or all(one.ended for one in summaries)
            case Failed(reason, exit_code):
                raise WorkerError(reason, exit_code)

    def _died(self, place: _Place) -> None:
        """The pipe is closed: the process is ending."""
        how = place.bury()
        if place.over or self._stopping:
            place.over = True
            return
        if self._job.store is None:
            raise WorkerError(f"{place.name} {how}; without a store it cannot go on where it was")
        if place.deaths >= limits.WORKER_DEATHS_MAX:
            raise WorkerError(f"{place.name} {how}, {place.deaths} times in a row")
        wait_ms = place.wait_ms()
        place.start_at = time.monotonic() + wait_ms / 1000
        self._listener.say(f"{place.name} {how}; it is started again in {wait_ms / 1000:g} s")


class _Place:
    """One worker: the process that it is at the moment, and what it said last."""

    def __init__(self, name: str, partitions: Sequence[str]) -> None:
        self.name = name
        self.partitions = partitions
        self.process: SpawnProcess | None = None
        self.pipe: Connection | None = None
        self.over = False
        self.reading = False
        self.records = 0  # read by all processes it was
        self.intake: Mapping[str, Intake] = {}
        self.summaries: Sequence[Summary] = ()
        self.deaths = 0  # in a row
        self.start_at = 0.0
        self._launched_at = 0.0
        self._records_before = 0

    def launch(self, job: Job) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(
            target=work, args=(theirs, job, self.partitions), name=self.name, daemon=True
        )
        self.process.start()
        theirs.close()
        self._launched_at = time.monotonic()
        self._records_before = self.records

    def tell(self, order: Order) -> None:
        if self.pipe is not None:
            with contextlib.suppress(OSError):  # it is dying, which will be noticed
                self.pipe.send(order)

    def receive(self) -> Message | None:
        """The next message; None when there will be no more."""
        assert self.pipe is not None
        try:
            message: Message = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return message

    def note(self, report: Reading) -> None:
        self.reading = True
        self.intake = report.intake
        self.records = self._records_before + report.records
        if report.committed:
            self.deaths = 0

    def wait_ms(self) -> int:
        doubled = limits.WORKER_RESTART_MS << max(0, self.deaths - 1)
        return min(doubled, limits.WORKER_RESTART_MS_MAX)

    def bury(self) -> str:
        """How the process ended, which it has or is about to."""
        assert self.process is not None
        self.process.join(limits.DRAIN_MS_MAX / 1000)
        self.kill()
        code = self.process.exitcode or 0
        self._forget()
        if not self.over:
            long_ago = time.monotonic() - limits.WORKER_RESTART_MS_MAX / 1000
            self.deaths = 1 if self._launched_at < long_ago else self.deaths + 1
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()

    def _forget(self) -> None:
        assert self.process is not None
        assert self.pipe is not None
        self.pipe.close()
        self.process.close()
        self.process = self.pipe = None
        self.reading = False
