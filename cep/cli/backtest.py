"""`cep backtest`: what rules would have found in a log, and what would be different from others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cep.cli.arguments import list_files, rule_paths, source, table_files
from cep.cli.output import Progress, say
from cep.errors import UsageError
from cep.limits import BACKTEST_LISTED_MAX

if TYPE_CHECKING:
    from cep.backtest.question import Range
    from cep.backtest.result import Result
    from cep.backtest.run import Run
    from dsl.model import RuleSet

_LISTED = 10


@click.command()
@rule_paths
@source
@click.option("--rule", metavar="NAME", help="Only this rule.")
@click.option(
    "--baseline",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Compare with the rules of this file or folder.",
)
@click.option(
    "--store",
    metavar="URL",
    help="Compare with the rules that run there, these files taking the place of their own.",
)
@click.option("--topic", metavar="NAME", help="Whose rules, where --store has several logs'.")
@click.option("--since", metavar="TIME|POSITION", help="From this event time or record on.")
@click.option("--until", metavar="TIME|POSITION", help="Before this event time or record.")
@click.option(
    "--listed",
    metavar="N",
    type=click.IntRange(1, BACKTEST_LISTED_MAX),
    default=_LISTED,
    show_default=True,
    help="List so many of each class; all are counted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@table_files
@list_files
def backtest(
    rules: tuple[Path, ...],
    source: str,
    rule: str | None,
    baseline: tuple[Path, ...],
    store: str | None,
    topic: str | None,
    since: str | None,
    until: str | None,
    listed: int,
    as_json: bool,
    tables: tuple[str, ...],
    lists: tuple[str, ...],
) -> None:
    """Say what rules would have found, alone or against others.

    Files may be NDJSON, Arrow (.arrow, .feather) or Parquet.
    """
    if baseline and store is not None:
        raise UsageError("--baseline and --store exclude each other")

    from cep.backtest.history import open_history
    from cep.backtest.question import Question
    from cep.backtest.run import Run
    from cep.cli.memory import tune_garbage_collection
    from cep.tables.sources import given_files

    candidate, before = _rule_sets(rules, baseline, store, topic)
    given = given_files(tables, lists)
    question = Question(candidate, before, rule, _range(since, until), given)
    history = open_history(source)
    tune_garbage_collection()
    try:
        result = _followed(Run(question, history, listed, say))
    finally:
        history.close()
    if as_json:
        print(result.to_json().decode())
    else:
        from cep.cli.backtest_report import report

        report(result)


def _rule_sets(
    paths: tuple[Path, ...], baseline: tuple[Path, ...], store: str | None, topic: str | None
) -> tuple[RuleSet, RuleSet | None]:
    from cep.load import load, load_rules, texts

    if store is None:
        return load_rules(paths), load_rules(baseline) if baseline else None

    from cep.cli.deployed import deploying

    with deploying(store, topic) as deployer:
        latest = deployer.latest()
        base = latest.base
        for name, text in texts(load(paths)).items():
            base = base.with_text(name, text)
        return base.compiled(), deployer.deployments.rules(latest.number)


def _range(since: str | None, until: str | None) -> Range:
    from cep.backtest.question import Range

    since_ms, first = _bound("--since", since)
    until_ms, end = _bound("--until", until)
    return Range(since_ms, until_ms, first, end)


def _bound(option: str, text: str | None) -> tuple[int | None, int | None]:
    """(time in ms, position), of which at most one is given."""
    from datetime import datetime

    if text is None:
        return None, None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return None, int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option}: neither a time such as 2026-03-01T09:00:00Z nor a position: {text!r}"
        ) from error
    if time.tzinfo is None:
        raise UsageError(f"{option}: say the time zone: {text}Z is UTC")
    return round(time.timestamp() * 1000), None


def _followed(run: Run) -> Result:
    """Runs it to its end, with progress on a terminal."""
    done: float | None = None
    progress = Progress(lambda: done)
    try:
        for step in run.steps():
            done = step.records_read / step.records_all if step.records_all else None
            progress(step.records_read)
    finally:
        progress.clear()
    return run.result()
