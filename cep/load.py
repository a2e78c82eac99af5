"""Rule files for the commands and for programs: compiled, or every diagnostic as one error."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import dsl
from cep import limits
from cep.errors import RulesError, UsageError
from dsl.model import RuleSet


def load(paths: Iterable[str | PathLike[str]]) -> dsl.Loaded:
    """Files, and the `.cep` files of folders, as one namespace; `UsageError` if unreadable."""
    try:
        loaded = dsl.load(Path(path) for path in paths)
    except OSError as error:
        raise UsageError(str(error) if error.filename is None else _os_error(error)) from error
    if not loaded.sources:
        raise UsageError("no rule files (*.cep) there")
    return loaded


def load_rules(paths: Iterable[str | PathLike[str]]) -> RuleSet:
    """The rules of files and folders; raises `RulesError` with every diagnostic."""
    return required(load(paths))


def load_text(text: str) -> RuleSet:
    """The rules of one text; raises `RulesError` with every diagnostic."""
    return required(dsl.load_sources([dsl.Source("<text>", text)]))


def required(loaded: dsl.Loaded) -> RuleSet:
    """The rules of what was loaded; raises `RulesError` with every diagnostic."""
    if loaded.rules is None:
        raise RulesError(loaded.render(), loaded.to_json())
    for rule in loaded.rules.rules:
        if len(rule.name) > limits.RULE_NAME_CHARACTERS_MAX:
            raise RulesError(
                f"rule {rule.name[:40]}…: a name of more than "
                f"{limits.RULE_NAME_CHARACTERS_MAX} characters"
            )
        if not all(_can_be_stored(name) for name in rule.notify):
            raise RulesError(
                f"rule {rule.name}: `notify` names a destination with other than 1 to "
                f"{limits.DESTINATION_CHARACTERS_MAX} printable characters"
            )
    return loaded.rules


def _can_be_stored(destination: str) -> bool:
    return 0 < len(destination) <= limits.DESTINATION_CHARACTERS_MAX and destination.isprintable()


def texts(loaded: dsl.Loaded) -> dict[str, str]:
    """What was read, by path."""
    return {path: source.text for path, source in loaded.sources.items()}


def _os_error(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"
