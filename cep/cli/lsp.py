"""`cep lsp`: the language server, for editors."""

from __future__ import annotations

from cep.errors import UsageError


def lsp() -> None:
    """Serve editors over standard input and output (Language Server Protocol)."""
    from importlib.metadata import version

    try:
        from dsl.editor.server import create_server
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing: pip install 'cep[editor]'") from error
    create_server(version("cep")).start_io()
