"""The schema of a database: made when it is empty, migrated when it is older, else left alone.

One version counts for all tables of a database, whichever part of the program opens it first; it is
one row of the table `schema_version`.  Each version is a migration in `cep.store.migrations`, and
`cep.store.tables` is what they come to.  All of it happens in one transaction, one process at a
time.  Alembic is loaded only when there is something to migrate.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
    text,
)

from cep.errors import StoreError
from cep.store.tables import metadata

VERSION = "0008"
"""The newest migration; versions are numbers of four digits."""

_UNKNOWN = "0000"
"""Made by a program that kept no version."""

_LOCK = 0x636570  # PostgreSQL's advisory locks are numbers

version_table = Table(
    "schema_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="schema_version_pkc"),
)


def prepare(engine: Engine, notify: Callable[[str], None] = lambda sentence: None) -> None:
    """Leaves the database with the schema this program has; `notify` is told of a migration.

    Raises `StoreError` for one that a newer program made, and whatever the database raises.
    """
    try:
        with engine.connect() as connection:
            connection.execution_options(read_only=True)
            if _known(connection) == VERSION:
                return
        with engine.begin() as connection:
            before = _make_or_migrate(connection)
    except BaseException:
        engine.dispose()  # whoever wanted to open the database has no more use for it
        raise
    if before not in (None, VERSION):
        notify(f"the database was migrated from schema {before} to {VERSION}")


def _make_or_migrate(connection: Connection) -> str | None:
    """The version that was there; see `_known`."""
    if connection.dialect.name == "postgresql":  # SQLite locks when a transaction begins
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    before = _known(connection)  # another process may have been first
    if before is None:
        metadata.create_all(connection)
        version_table.create(connection)
        connection.execute(insert(version_table).values(version_num=VERSION))
    elif before != VERSION:
        _migrate(connection, before)
    return before


def _known(connection: Connection) -> str | None:
    """The version of the schema; None for a database without any table of ours."""
    there = set(inspect(connection).get_table_names())
    if version_table.name in there:
        found = connection.execute(select(version_table.c.version_num)).scalar_one_or_none()
        return found or _UNKNOWN
    return _UNKNOWN if there & set(metadata.tables) else None


def _migrate(connection: Connection, before: str) -> None:
    if before > VERSION:
        raise StoreError(
            f"store: a newer version of cep has made this database or migrated it: it has schema "
            f"{before}, and this program knows up to {VERSION}. Run that version or a later one, "
            "bring back a copy from before, or start with another store"
        )
    from cep.store.migrations import migrate

    migrate(connection)
