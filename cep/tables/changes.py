"""Changes of tables that other threads ask for; they wait until the engine is between two steps."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock
from typing import NamedTuple

from cep.errors import RowsError, StoreError
from cep.fold import Fold
from matcher.lookup.table import Applied


@dataclass(slots=True)
class RowChange:
    """Rows to write and keys to delete, as JSON; `result` is done when they are durable."""

    table: str
    upserts: tuple[object, ...]
    deletes: tuple[object, ...]
    result: Future[Applied] = field(default_factory=Future)
    _applied: Applied | RowsError | None = None

    def apply(self, fold: Fold) -> None:
        try:
            self._applied = fold.change_rows(self.table, self.upserts, self.deletes)
        except RowsError as error:
            self._applied = error

    def tell(self) -> None:
        if isinstance(self._applied, RowsError):
            self.result.set_exception(self._applied)
        elif self._applied is not None:
            self.result.set_result(self._applied)


class Asked(NamedTuple):
    reload: bool
    changes: list[RowChange]


class TableChanges:
    """A queue that is closed when the engine stops: what waits then is refused."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[RowChange] = SimpleQueue()
        self._reload = False
        self._closed = False
        self._lock = Lock()

    def reload(self) -> None:
        self._reload = True

    def ask(self, change: RowChange) -> Future[Applied]:
        with self._lock:
            if self._closed:
                _refuse(change)
            else:
                self._queue.put(change)
        return change.result

    def take(self) -> Asked:
        """What was asked for since the last time."""
        reload, self._reload = self._reload, False
        changes = []
        while True:
            try:
                changes.append(self._queue.get_nowait())
            except Empty:
                return Asked(reload, changes)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        for change in self.take().changes:
            _refuse(change)


def _refuse(change: RowChange) -> None:
    change.result.set_exception(StoreError("the engine has stopped: nothing was changed"))
