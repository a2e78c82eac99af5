"""`cep serve`: engine, dispatcher and API over one store, until SIGTERM."""

from __future__ import annotations

from cep.cli.arguments import RulePaths


def serve(rules: RulePaths) -> None:
    """Follow an embedded log, deliver alerts, and serve the API."""
    raise NotImplementedError
