"""The commands put together, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cep.cli import append, bench, check, explain, fmt, lsp, run_command, serve, test
from cep.errors import CepError

app = typer.Typer(
    name="cep",
    help="A rules engine that watches keyed event streams for timed sequences and tells people.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("check")(check.check)
app.command("fmt")(fmt.fmt)
app.command("test")(test.test)
app.command("explain")(explain.explain)
app.command("run")(run_command.run)
app.command("append")(append.append)
app.command("serve")(serve.serve)
app.command("lsp")(lsp.lsp)
app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    bench.bench
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"cep {version('cep')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def run() -> None:
    try:
        app()
    except CepError as error:
        print(error if error.exit_code == 1 else f"cep: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output is gone; the interpreter must not fail again on flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
