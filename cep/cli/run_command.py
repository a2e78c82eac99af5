"""`cep run`: rules over a log, detections on standard output.

A finite source is read to its end, which moves time to its end too; an endless one is followed
until SIGTERM or SIGINT; SIGHUP reads the tables anew.  Without --store nothing is kept.  With it,
detections are printed after they are committed, and a restart goes on where the last commit was.
With several workers the partitions of the log are spread over so many processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cep.cli.arguments import idle, list_files, rule_paths, source, table_files
from cep.cli.deployed import started
from cep.cli.memory import tune_garbage_collection
from cep.cli.output import DeadLetters, Format, Progress, jsonl, pretty, print_lines, say
from cep.errors import UsageError
from cep.limits import DEGRADED_TOLD_MAX

if TYPE_CHECKING:
    from cep.engine import Summary
    from cep.ports import Log
    from cep.workers.runner import Runner


@click.command()
@rule_paths
@source
@click.option("--store", metavar="URL", help="Keep state and detections: app.db or postgresql://…")
@click.option("--no-store", is_flag=True, help="Keep nothing (default).")
@click.option(
    "--out",
    type=click.Choice([form.value for form in Format]),
    help="Default: pretty on a terminal, else jsonl.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Worker processes.",
)
@click.option(
    "--follow/--no-follow",
    default=None,
    help="Wait for more at the end (default for logs that go on) or stop there (for files).",
)
@click.option(
    "--batch-records",
    type=click.IntRange(1, 65_536),
    default=65_536,
    show_default=True,
    help="At most so many records a step; fewer is slower.",
)
@click.option(
    "--commit-interval",
    metavar="MS",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="While catching up, commit so often.",
)
@click.option("--partition", metavar="NAME", help="Name of a file's log in the store.")
@idle
@table_files
@list_files
def run(
    rules: tuple[Path, ...],
    source: str,
    store: str | None,
    no_store: bool,
    out: str | None,
    workers: int,
    follow: bool | None,
    batch_records: int,
    commit_interval: int,
    partition: str | None,
    idle_ms: int | None,
    tables: tuple[str, ...],
    lists: tuple[str, ...],
) -> None:
    """Run rules over a file, standard input, an embedded log or a Redis stream."""
    import sys

    if store is not None and no_store:
        raise UsageError("--store and --no-store exclude each other")

    from cep.load import load, required
    from cep.log.file import FileLog
    from cep.tables.sources import given_files
    from cep.workers.job import Job, Listener
    from cep.workers.runner import running

    to_terminal = out == Format.PRETTY or (out is None and sys.stdout.isatty())
    loaded = load(rules)
    job = Job(
        rules=required(loaded),
        log=source,
        follow=follow,
        store=store,
        lines=pretty if to_terminal else jsonl,
        batch_records=batch_records,
        commit_interval_ms=commit_interval,
        tables=given_files(tables, lists),
        idle_ms=idle_ms,
    )
    log = job.open_log(say)
    if isinstance(log, FileLog) and partition is not None:
        log.partition = partition
    kept = job.open_store(say)
    if kept is not None:
        job = started(job, kept, log, loaded)
    progress = Progress(lambda: log.done if isinstance(log, FileLog) else None)

    def show(lines: bytes) -> None:
        progress.clear()
        print_lines(lines)

    dead_letters = DeadLetters(several=len(log.partitions) > 1)
    runner = running(job, log, kept, workers, Listener(show, say, dead_letters, progress))
    _obey_signals(runner)
    _announce_compiling()
    tune_garbage_collection()
    try:
        summaries = runner.run()
        for summary in summaries:
            _report(summary, progress.seconds, _behind(log, summary))
    finally:
        progress.clear()
        log.close()
        if kept is not None:
            kept.close()


def _obey_signals(runner: Runner) -> None:
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    if not sys.stderr.isatty():  # a terminal that closes hangs up, too
        signal.signal(signal.SIGHUP, lambda *_: runner.reload_tables())


def _behind(log: Log, summary: Summary) -> int | None:
    """Records of the log that were not read; None where counting them means reading them."""
    from cep.log.sqlite import SqliteLog

    if not isinstance(log, SqliteLog):
        return None
    return max(0, log.end(summary.partition) - summary.position)


def _announce_compiling() -> None:
    """Tell a person at a terminal why the first start on a machine takes so long."""
    import sys

    from matcher.compiled import cache_folder

    if sys.stderr.isatty() and not any(cache_folder().glob("*.nbi")):
        say("first start on this machine: compiling the kernels, about half a minute")


def _report(summary: Summary, seconds: float, behind: int | None) -> None:
    count = summary.counters
    ending = "read to its end" if summary.ended else f"stopped at record {summary.position}"
    if behind is not None and not summary.ended:
        ending += f", {behind:,} behind the log's end,"
    say(
        f"{summary.partition} {ending} in {seconds:.2f} s: {count['received']:,} events "
        f"({count['processed']:,} processed, {count['late']:,} late, "
        f"{count['dead_lettered']:,} dead letters, "
        + (f"{count['quarantined']:,} quarantined, " if count["quarantined"] else "")
        + f"{count['ignored']:,} of no rule), "
        f"{count['detections']:,} detections ({count['suppressed']:,} suppressed)"
        + (f", {count['derived']:,} derived events" if count["derived"] else "")
    )
    if count["not_derived"]:
        say(f"{count['not_derived']:,} derived events do not fit their declaration: none were made")
    if count["capped"]:
        say(
            f"{count['capped']:,} partial matches were refused: too many at once of one key, "
            f"or of one rule{_most(summary.capped)}"
        )
    if count["forgotten"]:
        say(f"{count['forgotten']:,} keys of `fire once` or `resolve on` were forgotten: too many")
    if count["skips_missed"]:
        say(
            f"{count['skips_missed']:,} matches ended all partial matches of their key, because "
            "the step that `skip to` names was not in them"
        )
    if count["unkeyed"]:
        say(f"{count['unkeyed']:,} times a rule passed over an event without its key")


def _most(refused: Mapping[str, int]) -> str:
    """The rules that were refused the most, in parentheses."""
    ordered = sorted(refused.items(), key=lambda each: (-each[1], each[0]))
    named = [f"{rule} {count:,}" for rule, count in ordered[:DEGRADED_TOLD_MAX]]
    if len(ordered) > DEGRADED_TOLD_MAX:
        named.append(f"{len(ordered) - DEGRADED_TOLD_MAX:,} more rules")
    return f" ({', '.join(named)})" if named else ""
