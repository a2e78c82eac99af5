"""Logs by URL; see `open_log`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cep import limits
from cep.errors import UsageError

if TYPE_CHECKING:
    from cep.log.publishing import TopicLog
    from cep.ports import Log

_DEFAULT_TOPIC = "events"
_REDIS = ("redis://", "rediss://", "unix://")
_DATABASE_ENDINGS = (".db", ".sqlite", ".sqlite3")


def open_log(
    url: str,
    *,
    follow: bool | None = None,
    create: bool = False,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Log:
    """Opens a log by what its URL looks like.

        -                                   standard input
        events.ndjson, events.ndjson.gz     a file
        app.db, app.db#logins               an embedded log; after # the topic, else `events`
        app.db#logins/2                     one partition of it
        sqlite:///app.db#logins             the same
        postgresql://host/base#logins       the same tables in PostgreSQL
        redis://host:6379/0#logins          a Redis stream; also rediss:// and unix://

    `follow=None` means what suits the source: a file ends, other logs go on.  Only with `create`
    may the file of an embedded log be a new one.  `notify` takes sentences for the operator.
    """
    if takes_events(url):
        return open_topic(url, follow=follow is not False, create=create, notify=notify)
    if "://" in url and not url.startswith("file://"):
        raise UsageError(f"no such kind of log: {url!r} (use a file, -, x.db#topic, redis://…)")
    from cep.log.file import FileLog

    return FileLog(url.removeprefix("file://"), follow=bool(follow))


def open_topic(
    url: str,
    *,
    follow: bool = True,
    create: bool = False,
    notify: Callable[[str], None] = lambda sentence: None,
    ahead_ms_max: int | None = None,
) -> TopicLog:
    """A log that takes events; see `open_log`.

    `ahead_ms_max`: see `SqliteLog`; raises UsageError for a log that does not record when it took
    events.
    """
    if not takes_events(url):
        raise UsageError(f"cannot append to {url!r}: use app.db#topic or redis://…#topic")
    address, _, topic = url.partition("#")
    topic = topic or _DEFAULT_TOPIC
    if is_embedded(url):
        from cep.log.sqlite import SqliteLog

        if ahead_ms_max is None:
            ahead_ms_max = limits.AHEAD_OF_INGEST_MS_MAX
        return SqliteLog(
            address, topic, follow=follow, create=create, ahead_ms_max=ahead_ms_max, notify=notify
        )
    if ahead_ms_max is not None:
        raise UsageError("--max-ahead: only an embedded log records when it took events")
    from cep.log.redis import RedisLog

    return RedisLog(address, topic, follow=follow, notify=notify)


def takes_events(url: str) -> bool:
    """Whether `url` names a log that can be appended to and followed while that is done."""
    return is_embedded(url) or url.startswith(_REDIS)


def is_embedded(url: str) -> bool:
    """Whether `url` names a log in a database."""
    database = url.partition("#")[0]
    return database.startswith(("sqlite:", "postgresql:", "postgresql+")) or database.endswith(
        _DATABASE_ENDINGS
    )
