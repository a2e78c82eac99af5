"""Logs by URL; see `open_log`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cep.errors import UsageError

if TYPE_CHECKING:
    from cep.log.sqlite import SqliteLog
    from cep.ports import Log

_DEFAULT_TOPIC = "events"
_DATABASE_ENDINGS = (".db", ".sqlite", ".sqlite3")


def open_log(url: str, *, follow: bool | None = None, create: bool = False) -> Log:
    """Opens a log by what its URL looks like.

        -                                   standard input
        events.ndjson, events.ndjson.gz     a file
        app.db, app.db#logins               an embedded log; after # the topic, else `events`
        app.db#logins/2                     one partition of it
        sqlite:///app.db#logins             the same
        postgresql://host/base#logins       the same tables in PostgreSQL

    `follow=None` means what suits the source: a file ends, an embedded log goes on.  Only with
    `create` may the file of an embedded log be a new one.
    """
    if is_embedded(url):
        return open_embedded(url, follow=follow is not False, create=create)
    if "://" in url and not url.startswith("file://"):
        raise UsageError(f"no such kind of log: {url!r} (use a file, -, x.db#topic)")
    from cep.log.file import FileLog

    return FileLog(url.removeprefix("file://"), follow=bool(follow))


def open_embedded(url: str, *, follow: bool = True, create: bool = False) -> SqliteLog:
    """A log in a database; see `open_log`."""
    from cep.log.sqlite import SqliteLog

    database, _, topic = url.partition("#")
    return SqliteLog(database, topic or _DEFAULT_TOPIC, follow=follow, create=create)


def is_embedded(url: str) -> bool:
    """Whether `url` names a log in a database, which can be appended to."""
    database = url.partition("#")[0]
    return database.startswith(("sqlite:", "postgresql:", "postgresql+")) or database.endswith(
        _DATABASE_ENDINGS
    )
