"""`cep audit`: whether what is written down of changes is whole."""

from __future__ import annotations

import click


@click.command()
@click.argument("url", metavar="STORE")
def audit(url: str) -> None:
    """Read the whole audit of a store and compare its hashes.

    STORE is app.db or postgresql://…
    """
    from api.access.audit import verify
    from cep.errors import StoreError
    from cep.store.store import open_store

    opened = open_store(url)
    found = verify(opened.engine)
    opened.close()
    if found.wrong is not None:
        raise StoreError(f"entry {found.wrong} was changed, or one is missing before it")
    print(f"{found.entries} entries, whole; the hash of the newest is {found.hash}")
