"""Database errors in words for the operator; and which of them say that the server is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from cep.errors import StoreError, StoreGone

_SHUTTING_DOWN = ("57P01", "57P02", "57P03")  # by an administrator, by a crash, not up yet
_CONNECTION_CLASS = "08"
_NOT_A_SERVER = ""


def is_gone(error: SQLAlchemyError) -> bool:
    """Whether it helps to wait and to try again.  A file is never gone in this sense."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    state: str | None = getattr(error.orig, "sqlstate", _NOT_A_SERVER)  # None: nobody answered
    return state is None or state in _SHUTTING_DOWN or state.startswith(_CONNECTION_CLASS)


def words(error: SQLAlchemyError) -> str:
    """The database's own, without the SQL, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


@contextmanager
def named_errors(action: str) -> Iterator[None]:
    """Any database error becomes a `StoreError`, or `StoreGone`."""
    try:
        yield
    except SQLAlchemyError as error:
        kind = StoreGone if is_gone(error) else StoreError
        raise kind(f"store: cannot {action}: {words(error)}") from error
