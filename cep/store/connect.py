"""One way to open a store's database: `path.db`, `sqlite:///path.db` or `postgresql://…`.

SQLite runs in WAL mode with `synchronous=FULL` (a commit survives power loss) and takes its write
lock at the start of a transaction, so two writers wait for each other instead of failing half-way.
Pages are larger than usual, and more of them gather in the write-ahead log: state is written in
large pieces, of which many are replaced before they would be copied into the file.
Transactions opened with the execution option `read_only=True` do not take that lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from cep import limits
from cep.errors import UsageError


def database_url(text: str) -> URL:
    """The SQLAlchemy URL of a store; raises `UsageError` for other databases and bad URLs."""
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise UsageError(f"not a store URL: {text!r}") from error
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database:
        return url
    raise UsageError(
        f"not a store: {url.render_as_string()} (use path.db, sqlite:///path.db or postgresql://…)"
    )


def open_database(text: str) -> Engine:
    """An engine for `text`; connections are opened on first use."""
    url = database_url(text)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    folder = Path(str(url.database)).absolute().parent
    if not folder.is_dir():
        raise UsageError(f"no such folder for the store: {folder}")
    engine = create_engine(url, connect_args={"timeout": limits.STORE_BUSY_TIMEOUT_MS / 1000})
    configure_sqlite(engine)
    return engine


def configure_sqlite(engine: Engine) -> None:
    """Makes an engine over SQLite one that opens transactions as the module head says."""
    event.listen(engine, "connect", _configure_connection)
    event.listen(engine, "begin", _begin_sqlite)


def _configure_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # No implicit BEGIN by the driver: `_begin_sqlite` says when a transaction starts, and how.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size={limits.SQLITE_PAGE_BYTES}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA wal_autocheckpoint={limits.SQLITE_LOG_PAGES}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that does not take the write lock of SQLite."""
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        yield connection
