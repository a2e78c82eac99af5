"""Reference data as plain code: every change there ever was, searched from the newest back.

`matcher.lookup.table` must answer as this does, whatever it has let go of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Protocol, TypeAlias

from dsl.model import Kind, Table

Scalars: TypeAlias = tuple[object, ...]
Row: TypeAlias = Mapping[str, object]


class Rows(Protocol):
    """Where evaluation looks rows up."""

    def value(self, table: str, field: str, key: Scalars, position: int) -> object:
        """The field of the row with this key as of `position`; None if there is no such row."""
        ...

    def holds(self, table: str, key: Scalars, position: int) -> bool:
        """Whether the table or list has a row with this key as of `position`."""
        ...


class History:
    """The naive twin of `ReferenceData`; rows are in scalar form."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = {table.name: table for table in tables}
        self._changes: dict[str, list[tuple[int, Scalars, Row | None]]] = {
            table.name: [] for table in tables
        }

    def write(self, table: str, position: int, row: Row) -> None:
        key = tuple(row[name] for name in self._tables[table].key)
        self._changes[table].append((position, key, row))

    def delete(self, table: str, position: int, key: Scalars) -> None:
        self._changes[table].append((position, key, None))

    def value(self, table: str, field: str, key: Scalars, position: int) -> object:
        row = self._row(table, key, position)
        return None if row is None else row.get(field)

    def holds(self, table: str, key: Scalars, position: int) -> bool:
        return self._row(table, key, position) is not None

    def _row(self, table: str, key: Scalars, position: int) -> Row | None:
        rows = {written: row for at, written, row in self._changes[table] if at <= position}
        declared = self._tables[table]
        if declared.field(declared.key[0]).type.kind is not Kind.CIDR:
            return rows.get(key)
        holding = [
            (ip_network(str(network)).prefixlen, row)
            for (network,), row in rows.items()
            if row is not None and ip_address(str(key[0])) in ip_network(str(network))
        ]
        return max(holding, key=lambda found: found[0])[1] if holding else None
