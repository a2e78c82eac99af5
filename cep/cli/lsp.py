"""`cep lsp`: the language server, for editors."""

from __future__ import annotations

import click

from cep.errors import UsageError


@click.command()
def lsp() -> None:
    """Serve editors over standard input and output. Speaks the Language Server Protocol."""
    from importlib.metadata import version

    try:
        from dsl.editor.server import create_server
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing: pip install 'cep[editor]'") from error
    create_server(version("cep")).start_io()
