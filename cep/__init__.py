"""A rules engine that watches keyed event streams for timed sequences.

    rules = cep.compile(text_or_paths)
    for detection in cep.detect(rules, events): ...

    @cep.function("risk_of", takes=["string"], gives="float")    # and rules may call risk_of(user)
    def risk_of(user): ...

Events are NDJSON (bytes, or the path of a file), dicts, or a table: Arrow, pandas, polars.  The
steps are those of the engine; nothing is stored.  Importing this module loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from cep.detection import Detection
    from dsl.model import RuleSet

__all__ = ["compile", "detect", "function", "function_failures"]

Function = TypeVar("Function", bound=Callable[..., object])

RuleSource: TypeAlias = "str | PathLike[str] | Iterable[str | PathLike[str]]"
"""Rule text, or the path of a rule file or folder, or several paths."""


def compile(text_or_paths: RuleSource) -> RuleSet:
    """Checked rules from rule text, or from a file, a folder or several of them.

    A string with a brace or a newline is text, any other string a path.  Raises
    `cep.errors.RulesError`, whose text is every diagnostic with its place.
    """
    from cep.load import load_rules, load_text

    if isinstance(text_or_paths, str) and ("{" in text_or_paths or "\n" in text_or_paths):
        return load_text(text_or_paths)
    if isinstance(text_or_paths, str | PathLike):
        return load_rules([text_or_paths])
    return load_rules(list(text_or_paths))


def detect(
    rules: RuleSet | RuleSource,
    events: bytes | str | PathLike[str] | Iterable[Mapping[str, object]] | Any,
    *,
    partition: str = "events",
    tables: Mapping[str, Any] | None = None,
) -> Iterator[Detection]:
    """Detections in `events`, in order; the end of `events` is the end of time.

    A string or path names a log as `cep run --from` does.  A table is an Arrow table or anything
    with `__arrow_c_stream__`, such as a pandas or polars frame; a column `type` says which event a
    row is.  Positions count records from 0; `partition` takes part in detection ids, as the file's
    name does in those of `cep run`.  Events that cannot be used, and late ones, are left out.

    `tables` has rows of tables and values of lists by name, in place of the sources that the rule
    files give: dicts (or values), NDJSON bytes, a frame, or the path of a file.
    """
    from cep.in_memory import detections
    from dsl.model import RuleSet

    compiled = rules if isinstance(rules, RuleSet) else compile(rules)
    return detections(compiled, events, partition, tables or {})


def function(
    name: str, *, takes: Sequence[str], gives: str, version: str = "1"
) -> Callable[[Function], Function]:
    """Makes a Python function known to rules that are compiled afterwards.

    `takes` and `gives` name types of the rule language: bool, int, float, string, timestamp,
    duration, ip; the function sees Python's own bool, int, float, str, datetime (UTC), timedelta,
    str.  It must be pure: its result may depend on nothing but its arguments, and it may be called
    once for many equal ones.  It is not called with null, whose result is null, as is the result
    where it raises or gives a value of another type; `function_failures` counts those.  A new
    `version` makes new versions of the rules that call it.

    Raises ValueError for a name that the language has already, or an unknown type.
    """
    from dsl.registered import register

    def registered(made: Function) -> Function:
        register(name, takes, gives, version, made)
        return made

    return registered


def function_failures() -> dict[str, int]:
    """Calls that raised or gave a value of another type, by function, in this process."""
    from dsl.registered import REGISTERED

    return {name: function.failures for name, function in REGISTERED.items()}
