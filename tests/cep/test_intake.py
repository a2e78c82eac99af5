"""Back-pressure: a full outbox holds reading up, is seen, and changes nothing that is detected."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_cases import events, fold_all, rules
from sqlalchemy import delete, func, select

from cep import limits
from cep.engine import Engine, Turn
from cep.intake import Gate, Intake
from cep.log.file import FileLog
from cep.store import reads
from cep.store.store import SqlStore, open_store
from cep.store.tables import outbox

ROWS_MAX = 10


class Watch:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self._now_ms = 0

    def now_ms(self) -> int:
        self._now_ms += 1_000
        return self._now_ms

    def sleep_ms(self, duration_ms: int) -> None:
        raise AssertionError("nobody sleeps here")


def waiting(store: SqlStore) -> int:
    with store.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def test_full_outbox_holds_reading_up_until_it_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OUTBOX_ROWS_MAX", ROWS_MAX)
    lines = events(400, 1)
    (tmp_path / "p").write_bytes(b"".join(line + b"\n" for line in lines))
    store, log = open_store(str(tmp_path / "s.db")), FileLog(str(tmp_path / "p"))
    engine = Engine(
        rules(),
        log,
        store,
        batch_records=20,
        commit_interval_ms=0,
        clock=Watch(),
        outbox_full=lambda: reads.outbox_is_full(store.engine),
    )
    engine.start()
    held = 0
    while (turn := engine.turn()) is not Turn.OVER:
        if engine.intake is Intake.HELD:
            assert turn is Turn.IDLE
            assert waiting(store) > ROWS_MAX
            assert engine.fold is not None
            position = engine.fold.position
            for _ in range(3):
                assert engine.turn() is Turn.IDLE
            assert engine.fold.position == position
            with store.engine.begin() as connection:  # as a dispatcher does
                connection.execute(delete(outbox))
            held += 1
    summary = engine.finish()
    log.close()
    found, fold = fold_all(rules(), lines)
    bodies = [row.body for row in reads.detections(store.engine, limit=1_000)]
    assert held > 2
    assert bodies == found.bodies
    assert summary.counters == fold.counters
    store.close()


def test_outbox_that_is_not_looked_at_holds_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"".join(line + b"\n" for line in events(400, 1)))
    store, log = open_store(str(tmp_path / "s.db")), FileLog(str(tmp_path / "p"))
    assert Engine(rules(), log, store).run().ended
    assert waiting(store) > ROWS_MAX
    log.close()
    store.close()


def test_commit_that_takes_long_is_seen_until_there_is_nothing_to_read() -> None:
    gate = Gate(lambda: False, Watch())
    gate.committed(limits.STORE_SLOW_MS + 1)
    assert gate.state is Intake.SLOW
    assert not gate.held()
    gate.committed(5)
    assert gate.state is Intake.FLOWING
    gate.committed(limits.STORE_SLOW_MS + 1)
    gate.idle()
    assert gate.state is Intake.FLOWING


def test_outbox_is_looked_at_now_and_then_only() -> None:
    looks: list[int] = []

    class Slowly(Watch):
        def now_ms(self) -> int:
            self._now_ms += limits.INTAKE_LOOK_MS // 4
            return self._now_ms

    def full() -> bool:
        looks.append(1)
        return False

    gate = Gate(full, Slowly())
    for _ in range(40):
        gate.held()
    assert len(looks) == 10
