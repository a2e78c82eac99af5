"""The commands put together, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys

import click

from cep.cli import (
    append,
    audit,
    backtest,
    bench,
    check,
    deploy,
    explain,
    fmt,
    key,
    log,
    lsp,
    rules,
    run_command,
    serve,
    store,
    test,
)
from cep.errors import CepError


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"cep {version('cep')}")
        context.exit()


class _InOrder(click.Group):
    """Lists the commands as they are added: in the order of a rule's life."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(name="cep", cls=_InOrder)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def app() -> None:
    """A rules engine that watches keyed event streams for timed sequences and tells people."""


for command in (
    check.check,
    fmt.fmt,
    test.test,
    backtest.backtest,
    explain.explain,
    run_command.run,
    append.append,
    log.log,
    serve.serve,
    deploy.deploy,
    rules.rules,
    store.store,
    key.key,
    audit.audit,
    lsp.lsp,
    bench.bench,
):
    app.add_command(command)


def run() -> None:
    try:
        app(prog_name="cep")
    except CepError as error:
        print(error if error.exit_code == 1 else f"cep: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output is gone; the interpreter must not fail again on flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
