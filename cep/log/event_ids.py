"""Events that were appended before, told by their ids.

Known are the ids of the newest `limits.EVENT_IDS_MAX` events of a topic that said one, whatever
their partitions; they are written in the transaction that appends the events.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select

from cep import limits
from cep.store.tables import log_event_id

_LOOKED_UP_AT_ONCE = 500  # databases bound the parameters of a statement


def take_in(connection: Connection, topic: str, ids: Sequence[bytes | None]) -> set[int]:
    """Remembers the ids of events to append; the numbers of those that are there already."""
    table = log_event_id
    new: dict[bytes, int] = {}
    seen: set[int] = set()
    for number, id_ in enumerate(ids):
        if id_ is not None and new.setdefault(id_, number) != number:
            seen.add(number)
    asked = list(new)
    for start in range(0, len(asked), _LOOKED_UP_AT_ONCE):
        some = asked[start : start + _LOOKED_UP_AT_ONCE]
        query = select(table.c.id).where(table.c.topic == topic, table.c.id.in_(some))
        seen.update(new.pop(bytes(id_)) for id_ in connection.execute(query).scalars())
    if new:
        query = select(func.max(table.c.number)).where(table.c.topic == topic)
        first = (connection.execute(query).scalar_one() or 0) + 1
        rows = [
            {"topic": topic, "id": id_, "number": first + count} for count, id_ in enumerate(new)
        ]
        connection.execute(insert(table), rows)
        forgotten = first + len(rows) - limits.EVENT_IDS_MAX
        connection.execute(delete(table).where(table.c.topic == topic, table.c.number < forgotten))
    return seen
