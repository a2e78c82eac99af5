"""The rule language: text in, typed model out.

    loaded = dsl.load(["rules/fraud"])          # files and folders, one namespace
    loaded.rules                                # model.RuleSet, or None when there are errors
    print(loaded.render())                      # every diagnostic with its line and caret

    rules = dsl.compile_text(text)              # RuleSet; raises RuleError with the diagnostics

Refuses, with a code and a place, whatever it cannot give a meaning; never raises for bad text
except `RuleError` from the `compile_…` functions.  Imports nothing of the other packages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsl.diagnostics import Diagnostic, RuleError, has_errors, in_reading_order, render_all
from dsl.model import RuleSet
from dsl.source import Source, Span

__all__ = [
    "Diagnostic",
    "Loaded",
    "RuleError",
    "RuleSet",
    "Source",
    "Span",
    "compile_paths",
    "compile_text",
    "load",
    "load_sources",
    "rule_files",
]

SUFFIX = ".cep"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`rules` is None exactly when a diagnostic is an error."""

    rules: RuleSet | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]

    def render(self) -> str:
        """Every diagnostic as people read it, separated by newlines."""
        return render_all(self.diagnostics, self.sources)

    def to_json(self) -> list[dict[str, object]]:
        """The diagnostics as `cep check --json` prints them."""
        return [d.to_json(self.sources[d.span.path]) for d in self.diagnostics]

    def require(self) -> RuleSet:
        """The rules; raises RuleError when there are errors."""
        if self.rules is None:
            raise RuleError(self.diagnostics, self.sources)
        return self.rules


def rule_files(paths: Iterable[str | Path]) -> list[Path]:
    """The `.cep` files meant by `paths`: files as they are, folders with all below, sorted.

    Raises FileNotFoundError for a path that does not exist.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found.update(dict.fromkeys(sorted(path.rglob(f"*{SUFFIX}"))))
        elif path.exists():
            found[path] = None
        else:
            raise FileNotFoundError(f"no such file or folder: {path}")
    return list(found)


def load(paths: Iterable[str | Path]) -> Loaded:
    """Reads, parses and checks files (and the `.cep` files of folders) as one namespace.

    Raises OSError when a file cannot be read, and nothing for what is in it.
    """
    sources: list[Source] = []
    unreadable: list[Diagnostic] = []
    for path in rule_files(paths):
        try:
            sources.append(Source(str(path), path.read_text(encoding="utf-8-sig")))
        except UnicodeDecodeError as error:
            sources.append(Source(str(path), ""))
            message = f"byte {error.start} is not UTF-8 text"
            unreadable.append(Diagnostic("E009", message, Span(str(path), 0, 0)))
    loaded = load_sources(sources)
    if not unreadable:
        return loaded
    return Loaded(None, (*unreadable, *loaded.diagnostics), loaded.sources)


def load_sources(sources: Sequence[Source]) -> Loaded:
    """The same for texts already in memory; each `Source.path` must be unique."""
    from dsl.check import check
    from dsl.parser import parse_file

    by_path = {source.path: source for source in sources}
    files, diagnostics = [], []
    for source in sources:
        file, problems = parse_file(source)
        files.append(file)
        diagnostics.extend(problems)
    rules, problems = check(files, by_path)
    diagnostics = in_reading_order([*diagnostics, *problems])
    return Loaded(None if has_errors(diagnostics) else rules, tuple(diagnostics), by_path)


def compile_text(text: str, path: str = "<text>") -> RuleSet:
    """The rules of one text.  Raises RuleError with every diagnostic if it has errors."""
    return load_sources([Source(path, text)]).require()


def compile_paths(paths: Iterable[str | Path]) -> RuleSet:
    """The rules of files and folders.  Raises RuleError with every diagnostic, or OSError."""
    return load(paths).require()
