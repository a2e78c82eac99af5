"""Detections are committed at once at the end of the log; the state behind them a little later.

A crash in between finds older pages, and folds in anew what the log holds since.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from engine_cases import RULES, events, fold_all
from sqlalchemy import delete, select

import cep
from cep import limits
from cep.engine import Engine
from cep.errors import SourceError
from cep.log.sqlite import SqliteLog
from cep.store import reads
from cep.store.store import SqlStore, open_store
from cep.store.tables import checkpoint, log_chunk, outbox
from dsl.model import RuleSet

TOPIC = "p"
NEVER_MS = 2**60
RULE_SET = cep.compile(RULES)
ANOTHER = (
    RULES
    + """
rule repeated {
  severity low
  by card
  match a: Payment -> b: Payment[amount == a.amount or amount > 900.00]
  within 20s
  alert "{card} again"
}
"""
)
LISTED = (
    RULES
    + """
list watched: [string] = [%s]
rule in_list {
  severity low
  by card
  match a: Payment[card in watched and amount > 900.00]
  alert "{card}"
}
"""
)


class Place(NamedTuple):
    """How far detections are committed, and how far the pages are."""

    position: int
    pages: int


def place(store: SqlStore) -> Place:
    with store.engine.connect() as connection:
        row = connection.execute(select(checkpoint)).one()
    return Place(row.position, row.state_position)


def append(database: Path, lines: list[bytes]) -> None:
    log = SqliteLog(str(database), TOPIC)
    log.append(TOPIC, b"".join(line + b"\n" for line in lines))
    log.close()


def die_at_the_end(
    database: Path, rules: RuleSet, *parts: list[bytes], interval_ms: int = NEVER_MS
) -> Place:
    """Appends and reads part by part, and is gone without another word."""
    log, store = SqliteLog(str(database), TOPIC), open_store(str(database))
    engine = Engine(rules, log, store, commit_interval_ms=interval_ms)
    engine.start()
    for part in parts:
        append(database, part)
        engine.turn()
    found = place(store)
    log.close()
    store.close()
    return found


def finish(database: Path, rules: RuleSet) -> None:
    log, store = SqliteLog(str(database), TOPIC, follow=False), open_store(str(database))
    Engine(rules, log, store).run()
    log.close()
    store.close()


def stored(database: Path) -> tuple[list[bytes], dict[str, int], list[str]]:
    """Detections, counters, and the detections that wait in the outbox."""
    store = open_store(str(database))
    bodies = [found.body for found in reads.detections(store.engine, limit=1000)]
    (status,) = reads.partitions(store.engine)
    with store.engine.connect() as connection:
        waiting = connection.execute(select(outbox.c.detection_id)).scalars().all()
    store.close()
    return bodies, status.counters, list(waiting)


def parts_of(lines: list[bytes]) -> list[list[bytes]]:
    return [lines[at : at + 20] for at in range(0, len(lines), 20)]


def test_a_crash_behind_older_pages_loses_nothing(tmp_path: Path) -> None:
    lines = events(400, 1)
    found, fold = fold_all(RULE_SET, lines)
    for died_after in (5, 10, 15, 20):
        database = tmp_path / f"{died_after}.db"
        parts = parts_of(lines)
        reached = die_at_the_end(database, RULE_SET, *parts[:died_after])
        assert reached.pages < reached.position <= 20 * died_after
        committed = stored(database)[0]
        assert committed == found.bodies[: len(committed)] != []
        again = die_at_the_end(database, RULE_SET)  # killed once more, before it committed anything
        assert again == reached
        append(database, [line for part in parts[died_after:] for line in part])
        finish(database, RULE_SET)
        assert stored(database)[:2] == (found.bodies, fold.counters)


def test_pages_that_are_made_bit_by_bit_are_of_one_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGES_MADE_BYTES", 0)  # one page in a turn
    lines = events(400, 1)
    found, fold = fold_all(RULE_SET, lines)
    parts = parts_of(lines)
    behind = set()
    for died_after in range(2, len(parts) + 1):
        database = tmp_path / f"{died_after}.db"
        reached = die_at_the_end(database, RULE_SET, *parts[:died_after], interval_ms=0)
        behind.add((reached.position - reached.pages) // 20)
        assert 0 < reached.pages <= reached.position
        committed = stored(database)[0]
        assert committed == found.bodies[: len(committed)]
        again = die_at_the_end(database, RULE_SET)
        assert again == reached
        append(database, [line for part in parts[died_after:] for line in part])
        finish(database, RULE_SET)
        assert stored(database)[:2] == (found.bodies, fold.counters)
    assert len(behind) > 2, "pages of several positions before the committed one were met"


def test_a_table_changes_while_pages_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGES_MADE_BYTES", 0)
    database, listed = tmp_path / "p.db", cep.compile(LISTED % '"nobody"')
    parts = parts_of(events(400, 1))
    log, store = SqliteLog(str(database), TOPIC), open_store(str(database))
    engine = Engine(listed, log, store, commit_interval_ms=0)
    engine.start()
    for part in parts[:10]:
        append(database, part)
        engine.turn()
    assert place(store).pages < place(store).position
    cards = [f"c{n}" for n in range(20)]
    done = engine.change_rows("watched", cards)
    engine.turn()
    assert done.done() and done.result()
    changed = place(store)
    assert changed.pages == changed.position == 200
    log.close()
    store.close()
    append(database, [line for part in parts[10:] for line in part])
    finish(database, listed)
    undisturbed = fold_all(RULE_SET, events(400, 1))[0].bodies
    bodies = stored(database)[0]
    assert [body for body in bodies if b'"rule":"in_list"' not in body] == undisturbed
    assert any(b'"rule":"in_list"' in body for body in bodies)


def test_what_is_delivered_does_not_come_back_with_a_new_rule(tmp_path: Path) -> None:
    lines, database, calm = events(400, 1), tmp_path / "crash.db", tmp_path / "calm.db"
    reached = die_at_the_end(database, RULE_SET, *parts_of(lines))
    before = stored(database)[0]
    store = open_store(str(database))
    with store.engine.begin() as connection:
        connection.execute(delete(outbox))  # all are taken
    store.close()
    finish(database, cep.compile(ANOTHER))
    after, _, waiting = stored(database)
    assert after[: len(before)] == before
    assert len(set(after)) == len(after)
    # The new rule counts from where the pages were.
    append(calm, lines[: reached.pages])
    finish_without_end(calm, RULE_SET)
    append(calm, lines[reached.pages :])
    finish(calm, cep.compile(ANOTHER))
    expected, _, all_waiting = stored(calm)
    assert sorted(after) == sorted(expected)
    known = set(before)
    new = [body for body in expected if body not in known]
    assert any(b'"rule":"repeated"' in body for body in new)
    assert waiting
    assert len(waiting) == len(all_waiting) - len(waiting_of(calm, known))


def waiting_of(database: Path, bodies: set[bytes]) -> list[str]:
    """The rows of the outbox for these detections."""
    store = open_store(str(database))
    ids = {found.id for found in reads.detections(store.engine, limit=1000) if found.body in bodies}
    store.close()
    return [id_ for id_ in stored(database)[2] if id_ in ids]


def finish_without_end(database: Path, rules: RuleSet) -> None:
    """Reads what is there and stops as a follower does when it is told to."""
    log, store = SqliteLog(str(database), TOPIC), open_store(str(database))
    engine = Engine(rules, log, store, progress=lambda records: engine.stop())
    engine.run()
    log.close()
    store.close()


def test_a_list_changed_in_the_rule_file_counts_from_where_detections_are(tmp_path: Path) -> None:
    lines, database = events(400, 1), tmp_path / "p.db"
    none, all_cards = LISTED % '"nobody"', LISTED % ", ".join(f'"c{n}"' for n in range(20))
    reached = die_at_the_end(database, cep.compile(none), *parts_of(lines[:300]))
    assert reached.pages < reached.position
    before = stored(database)[0]
    append(database, lines[300:])
    finish(database, cep.compile(all_cards))
    after = stored(database)[0]
    assert after[: len(before)] == before
    undisturbed = fold_all(RULE_SET, lines)[0].bodies
    assert [body for body in after if b'"rule":"in_list"' not in body] == undisturbed
    assert any(b'"rule":"in_list"' in body for body in after)


def test_a_log_that_lost_what_the_pages_lack_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "p.db"
    reached = die_at_the_end(database, RULE_SET, *parts_of(events(400, 1)))
    store = open_store(str(database))
    with store.engine.begin() as connection:
        connection.execute(delete(log_chunk).where(log_chunk.c.position >= reached.position - 20))
    store.close()
    with pytest.raises(SourceError, match=f"the store was at {reached.position}"):
        finish(database, RULE_SET)
