"""Back-tests in the store: asked for, run, and what came of them; see `cep.backtest.jobs`.

Every change says from which state it leads, so what was cancelled meanwhile stays cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, Row, delete, func, insert, select, update

from cep import limits
from cep.errors import Busy
from cep.store.connect import reading
from cep.store.failures import named_errors
from cep.store.tables import backtest


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """`request` and `result` are JSON; times are of the wall clock."""

    sequence: int
    id: str
    request: bytes
    actor: str
    state: State
    made_ms: int
    started_ms: int | None
    finished_ms: int | None
    records_read: int
    records_all: int | None
    error: str | None


_COLUMNS = tuple(backtest.c[name] for name in BacktestRow.__dataclass_fields__)


def add(engine: Engine, id_: str, request: bytes, actor: str, now_ms: int) -> None:
    """Raises Busy while too many are waiting."""
    waiting = select(func.count()).where(backtest.c.state == State.WAITING)
    with named_errors("ask for a back-test"), engine.begin() as connection:
        if connection.execute(waiting).scalar_one() >= limits.BACKTESTS_WAITING_MAX:
            raise Busy(
                f"{limits.BACKTESTS_WAITING_MAX} back-tests are waiting already: try again later, "
                "or cancel one"
            )
        connection.execute(
            insert(backtest).values(
                id=id_,
                request=request,
                actor=actor,
                state=State.WAITING,
                made_ms=now_ms,
                records_read=0,
            )
        )


def get(engine: Engine, id_: str) -> BacktestRow | None:
    with named_errors("read"), reading(engine) as connection:
        row = connection.execute(select(*_COLUMNS).where(backtest.c.id == id_)).one_or_none()
    return None if row is None else _row(row)


def result(engine: Engine, id_: str) -> bytes | None:
    """JSON, as `cep.backtest.result` makes it; None before it is done."""
    query = select(backtest.c.result).where(backtest.c.id == id_)
    with named_errors("read"), reading(engine) as connection:
        found: bytes | None = connection.execute(query).scalar_one_or_none()
    return found


def listed(
    engine: Engine, after: int, limit: int, *, newest_first: bool = False
) -> list[BacktestRow]:
    """In the order they were asked for, behind the one of sequence `after`, or the other way."""
    sequence = backtest.c.sequence
    query = select(*_COLUMNS).limit(limit)
    if newest_first:
        query = query.where(sequence < after).order_by(sequence.desc())
    else:
        query = query.where(sequence > after).order_by(sequence)
    with named_errors("read"), reading(engine) as connection:
        return [_row(row) for row in connection.execute(query)]


def in_state(engine: Engine, state: State) -> list[BacktestRow]:
    """The oldest first."""
    query = select(*_COLUMNS).where(backtest.c.state == state).order_by(backtest.c.sequence)
    with named_errors("read"), reading(engine) as connection:
        rows = connection.execute(query).all()
    return [_row(row) for row in rows]


def start(engine: Engine, id_: str, now_ms: int) -> bool:
    """False when it does not wait any more."""
    return _change(engine, id_, (State.WAITING,), state=State.RUNNING, started_ms=now_ms)


def progress(engine: Engine, id_: str, records_read: int, records_all: int | None) -> None:
    _change(engine, id_, (State.RUNNING,), records_read=records_read, records_all=records_all)


def finish(engine: Engine, id_: str, now_ms: int, found: bytes) -> None:
    """It is done."""
    _change(engine, id_, (State.RUNNING,), state=State.DONE, finished_ms=now_ms, result=found)


def fail(engine: Engine, id_: str, now_ms: int, reason: str) -> None:
    before = (State.WAITING, State.RUNNING)
    _change(engine, id_, before, state=State.FAILED, finished_ms=now_ms, error=reason)


def cancel(engine: Engine, id_: str, now_ms: int) -> bool:
    """False when it is over already."""
    before = (State.WAITING, State.RUNNING)
    return _change(engine, id_, before, state=State.CANCELLED, finished_ms=now_ms)


def forget_old(engine: Engine) -> None:
    """Keeps the newest of those that are over."""
    over = [state for state in State if state.over]
    kept = (
        select(backtest.c.sequence)
        .where(backtest.c.state.in_(over))
        .order_by(backtest.c.sequence.desc())
        .offset(limits.BACKTESTS_KEPT_MAX)
        .limit(1)
    )
    with named_errors("write"), engine.begin() as connection:
        last: int | None = connection.execute(kept).scalar_one_or_none()
        if last is not None:
            gone = delete(backtest).where(backtest.c.sequence <= last, backtest.c.state.in_(over))
            connection.execute(gone)


def _change(engine: Engine, id_: str, before: Sequence[State], **values: object) -> bool:
    wanted = (backtest.c.id == id_, backtest.c.state.in_(before))
    with named_errors("write"), engine.begin() as connection:
        return connection.execute(update(backtest).where(*wanted).values(**values)).rowcount == 1


def _row(row: Row[*tuple[Any, ...]]) -> BacktestRow:
    values = row._asdict()
    return BacktestRow(**values | {"state": State(values["state"])})
