"""Versions of the schema, oldest first, as Alembic migrations.

A migration says by itself what it does, with names and types as they were: it never reads
`cep.store.tables`, which goes on.  There is no way down; a copy of the database is (see
docs/operations.md).  To add one: the next number in `versions`, the same change in
`cep.store.tables`, and `cep.store.schema.VERSION`; a test compares them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from cep.store.schema import VERSION, version_table


def migrate(connection: Connection, version: str = VERSION) -> None:
    """Applies what is missing up to `version`, in the transaction of `connection`."""
    command.upgrade(configured(connection), version)


def configured(connection: Connection | None = None) -> Config:
    """What Alembic's commands want to know."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = version_table.name
    return config
