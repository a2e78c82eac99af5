"""`cep serve`: engine, dispatcher and API over one store, until SIGTERM or SIGINT.

SIGHUP reads the sources of tables and lists anew.
"""

from __future__ import annotations

from pathlib import Path

import click

from cep.cli.arguments import idle, list_files, max_ahead, rule_paths, table_files
from cep.cli.deployed import deployer, started
from cep.cli.memory import tune_garbage_collection
from cep.cli.output import log_to_standard_error, say
from cep.errors import UsageError
from cep.limits import BACKTESTS_AT_ONCE, BACKTESTS_AT_ONCE_MAX


@click.command()
@rule_paths
@click.option("--store", metavar="URL", required=True, help="app.db or postgresql://…")
@click.option(
    "--log",
    metavar="LOG",
    help="Log to follow; default: topic `events` in the store's database.",
)
@click.option(
    "--destinations",
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where alerts go (TOML).",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="0: any free port.",
)
@click.option(
    "--allow-host",
    metavar="NAME",
    multiple=True,
    help="Further host name the API answers to; * for any.",
)
@click.option(
    "--auth/--no-auth",
    default=None,
    help="Whether requests need a key or a login; by default they do beyond this machine.",
)
@click.option("--insecure-no-auth", is_flag=True, help="Listen beyond this machine without keys.")
@click.option(
    "--requests-per-second",
    type=click.FloatRange(min=1),
    default=200,
    show_default=True,
    help="Of one caller, on average; events are not counted.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Worker processes for the partitions of the log.",
)
@click.option(
    "--backtests",
    metavar="N",
    type=click.IntRange(0, BACKTESTS_AT_ONCE_MAX),
    default=BACKTESTS_AT_ONCE,
    show_default=True,
    help="Back-tests at once, each in a process of its own; the others wait. 0: none.",
)
@idle
@max_ahead
@table_files
@list_files
def serve(
    rules: tuple[Path, ...],
    store: str,
    log: str | None,
    destinations: Path | None,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    auth: bool | None,
    insecure_no_auth: bool,
    requests_per_second: float,
    workers: int,
    backtests: int,
    idle_ms: int | None,
    ahead_ms_max: int | None,
    tables: tuple[str, ...],
    lists: tuple[str, ...],
) -> None:
    """Follow a log, deliver alerts, serve the API."""
    from alerts.config import Destinations, load_destinations
    from api.access.serving import authentication, greet
    from cep.asking import Asking
    from cep.cli.serving import Service, backtests_of
    from cep.load import load, required
    from cep.log import open_topic, takes_events
    from cep.store.store import open_store
    from cep.tables.sources import given_files
    from cep.workers.job import Job, Listener
    from cep.workers.runner import running

    log_to_standard_error()
    with_keys = authentication(host, auth, insecure_no_auth=insecure_no_auth)
    loaded = load(rules)
    rule_set = required(loaded)
    known = load_destinations(destinations) if destinations is not None else Destinations()
    named = {name for rule in rule_set.rules for name in rule.notify}
    if missing := sorted(named - set(known.destinations)):
        say(f"no destination is configured for: {', '.join(missing)}")
    log_url = log or store
    if not takes_events(log_url):
        raise UsageError(f"cep serve follows app.db#topic or redis://…#topic, not {log_url!r}")
    job = Job(
        rules=rule_set,
        log=log_url,
        store=store,
        tables=given_files(tables, lists),
        hold_when_outbox_full=True,
        idle_ms=idle_ms,
    )
    opened_store = open_store(store, say)
    opened_log = open_topic(log_url, create=True, notify=say, ahead_ms_max=ahead_ms_max)
    tune_garbage_collection()
    try:
        opened_log.declare(opened_log.topic)  # while it is read it stays what it is
        job = started(job, opened_store, opened_log, loaded)
        if with_keys:
            greet(opened_store.engine, say)
        deploys = deployer(opened_store, opened_log)
        Service(
            job.rules,
            deploys,
            opened_store,
            opened_log,
            known,
            running(job, opened_log, opened_store, workers, Listener(say=say)),
            host=host,
            port=port,
            hosts=allow_host,
            asking=Asking(job.log, job.tables),
            authentication=with_keys,
            requests_per_second=requests_per_second,
            backtests=backtests_of(job, deploys, opened_store, backtests),
        ).run()
    finally:
        opened_log.close()
        opened_store.close()
