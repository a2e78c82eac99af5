"""`cep key`: the keys with which programs and administrators use the API of a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cep.cli.arguments import Duration
from cep.cli.output import operator, print_table
from cep.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

ROLES = ("viewer", "analyst", "author", "publisher", "ingest", "admin")  # api.access.roles.Role

store = click.argument("url", metavar="STORE")


@click.group()
def key() -> None:
    """Make, list and revoke keys of the API.

    STORE is app.db or postgresql://…
    """


@key.command()
@store
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES))
@click.option("--for", "valid_ms", type=Duration(), help="How long it is valid; default: for ever.")
def add(url: str, name: str, roles: tuple[str, ...], valid_ms: int | None) -> None:
    """Make a key and print it, this once."""
    import time

    from api.access import accounts, audit
    from api.access.roles import roles_of

    now_ms = time.time_ns() // 1_000_000
    expires_ms = None if valid_ms is None else now_ms + valid_ms
    with _opened(url) as engine:
        by = operator()
        made = accounts.make_key(engine, name, roles_of(roles), by, now_ms, expires_ms)
        said = {"name": name, "roles": roles}
        audit.record(engine, now_ms, by, "make", f"keys/{made.id}", said)
    print(made)


@key.command(name="list")
@store
def list_(url: str) -> None:
    """All keys there ever were, without their secrets."""
    from api.access import accounts
    from cep.limits import READ_PAGE_ROWS_MAX
    from cep.values import iso_time

    rows = [("id", "name", "roles", "made", "last used", "")]
    with _opened(url) as engine:
        after = (0, "")
        while found := accounts.list_keys(engine, after, READ_PAGE_ROWS_MAX):
            for one in found:
                used = "never" if one.used_ms is None else iso_time(one.used_ms)
                ended = "revoked" if one.revoked_ms is not None else ""
                if not ended and one.expires_ms is not None:
                    ended = f"until {iso_time(one.expires_ms)}"
                roles = ", ".join(one.roles)
                rows.append((one.id, one.name, roles, iso_time(one.made_ms), used, ended))
            after = found[-1].made_ms, found[-1].id
    print_table(rows)


@key.command()
@store
@click.argument("id")
def revoke(url: str, id: str) -> None:
    """Let a key open nothing from now on."""
    import time

    from alerts.errors import NotFound, Refused
    from api.access import accounts, audit

    now_ms = time.time_ns() // 1_000_000
    with _opened(url) as engine:
        try:
            accounts.revoke_key(engine, id, now_ms)
        except (NotFound, Refused) as error:
            raise UsageError(str(error)) from error
        audit.record(engine, now_ms, operator(), "revoke", f"keys/{id}", {})


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    from cep.store.store import open_store

    opened = open_store(url)
    try:
        yield opened.engine
    finally:
        opened.close()
