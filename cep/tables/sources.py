"""Which source each table has, and the loading of all of them into a fold.

`load` is the only place where a source meets the state: it reads what is outside and hands it to
the fold as one change, at the position the fold has reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from cep.errors import SourceError, UsageError
from cep.fold import Fold
from cep.tables.files import FileSource
from cep.tables.frames import GivenSource
from cep.tables.reading import Source
from cep.tables.redis_rows import RedisSource
from dsl.diagnostics import did_you_mean
from dsl.model import RuleSet, Table
from matcher.lookup.reference_data import tables_read


def sources_of(rules: RuleSet, given: Mapping[str, Source]) -> dict[str, Source]:
    """The source of every table and list that some rule looks into and that has one.

    `given` takes the place of what the rule files say.  Raises UsageError for a name in it that no
    rule file declares.
    """
    declared = {**rules.tables, **rules.lists}
    for name in given:
        if name not in declared:
            hint = did_you_mean(name, declared) or f"declared: {', '.join(declared) or 'none'}"
            raise UsageError(f"no table or list {name!r}; {hint.replace('`', '')}")
    found: dict[str, Source] = {}
    for table in tables_read(rules):
        source = given.get(table.name) or _declared(table)
        if source is not None:
            found[table.name] = source
    return found


def _declared(table: Table) -> Source | None:
    if table.source is None:
        return None
    if table.source.kind == "redis":
        return RedisSource(table.source.address)
    return FileSource(Path(table.source.span.path).parent / table.source.address)


def given_files(*options: Iterable[str]) -> dict[str, Source]:
    """`NAME=FILE` of the command line; raises UsageError for anything else."""
    found: dict[str, Source] = {}
    for option in (each for options_ in options for each in options_):
        name, sign, path = option.partition("=")
        if not (name and sign and path):
            raise UsageError(f"expected NAME=FILE, not {option!r}")
        found[name] = FileSource(Path(path))
    return found


def given_rows(rows: Mapping[str, Any]) -> dict[str, Source]:
    """Rows of a program: paths of files, or whatever `GivenSource` takes."""
    return {
        name: FileSource(Path(value)) if isinstance(value, str | PathLike) else GivenSource(value)
        for name, value in rows.items()
    }


def load(
    fold: Fold, sources: Mapping[str, Source], say: Callable[[str], None] = lambda sentence: None
) -> bool:
    """Reads every source into the fold; whether anything changed.

    A source that cannot be read is an error the first time; later its rows stay as they were.
    """
    changed = False
    for name, source in sources.items():
        table = fold.tables.table(name).declared
        try:
            read = source.read(table, fold.strings)
        except SourceError as error:
            if not fold.tables.was_loaded(name):
                raise
            say(f"{error}; its rows stay as they were")
            continue
        applied = fold.load_rows(name, read.columns, read.bad_rows)
        changed = changed or any(applied) or bool(read.bad_rows)
        for problem in read.problems:
            say(f"{name}: {problem}; the row is left out")
        if read.bad_rows > len(read.problems):
            say(f"{name}: {read.bad_rows} rows were left out, of which the first are shown")
    return changed
