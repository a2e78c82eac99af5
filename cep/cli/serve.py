"""`cep serve`: engine, dispatcher and API over one store, until SIGTERM or SIGINT.

SIGHUP reads the sources of tables and lists anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cep.cli.arguments import ListFiles, RulePaths, TableFiles
from cep.cli.memory import tune_garbage_collection
from cep.cli.output import say
from cep.errors import UsageError


def serve(
    rules: RulePaths,
    store: Annotated[str, typer.Option(metavar="URL", help="app.db or postgresql://…")],
    log: Annotated[
        str | None,
        typer.Option(
            metavar="LOG", help="Log to follow; default: topic `events` in the store's database."
        ),
    ] = None,
    destinations: Annotated[
        Path | None,
        typer.Option("--destinations", "--config", metavar="FILE", help="Where alerts go (TOML)."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8080,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further host name the API answers to; * for any."),
    ] = None,
    insecure_no_auth: Annotated[
        bool, typer.Option("--insecure-no-auth", help="Listen beyond this machine without keys.")
    ] = False,
    table: TableFiles = None,
    list_: ListFiles = None,
) -> None:
    """Follow an embedded log, detect, deliver alerts, and serve the API."""
    from alerts.config import Destinations, load_destinations
    from api.app import check_bind
    from cep.cli.serving import Service
    from cep.load import load_rules
    from cep.log import is_embedded, open_log
    from cep.store.store import open_store
    from cep.tables.sources import given_files

    check_bind(host, insecure_no_auth=insecure_no_auth)
    rule_set = load_rules(rules)
    known = load_destinations(destinations) if destinations is not None else Destinations()
    named = {name for rule in rule_set.rules for name in rule.notify}
    if missing := sorted(named - set(known.destinations)):
        say(f"no destination is configured for: {', '.join(missing)}")
    log_url = log or store
    if not is_embedded(log_url):
        raise UsageError(f"cep serve follows an embedded log (app.db#topic), not {log_url!r}")
    opened_store, opened_log = open_store(store), open_log(log_url, follow=True, create=True)
    tune_garbage_collection()
    try:
        Service(
            rule_set,
            opened_store,
            opened_log,
            known,
            host=host,
            port=port,
            hosts=tuple(allow_host or ()),
            tables=given_files(table or (), list_ or ()),
        ).run()
    finally:
        opened_log.close()
        opened_store.close()
