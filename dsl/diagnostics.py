"""What can be wrong with rule text: stable codes, and how a diagnostic is shown.

A diagnostic says what is wrong, where, and the nearest fix.  Codes never change their meaning:
people write them in tickets and tools filter by them.  `E` stops the file from loading, `W` does
not.  All diagnostics of a file are collected; nothing is raised while checking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dsl import limits
from dsl.source import Source, Span

CODES: Mapping[str, str] = {
    # text
    "E001": "the text does not follow the grammar",
    "E002": "a string or name in back-ticks is not closed",
    "E003": "a character that rule text may not contain",
    "E004": "text too long, or too many declarations",
    "E005": "text nested too deeply",
    "E006": "a number or duration out of range",
    "E007": "an unknown escape in a string, or a malformed template",
    "E008": "a bracket that is not closed, or was never opened",
    "E009": "the file cannot be read as UTF-8 text",
    # names
    "E010": "unknown event, filter or other declared name",
    "E011": "unknown field",
    "E012": "unknown function",
    "E013": "unknown name in an expression",
    "E014": "a name declared twice",
    "E015": "two declarations of one event type differ",
    "E016": "unknown type",
    "E017": "an option word the language does not know",
    "E018": "declarations that depend on themselves",
    # types
    "E020": "operands whose types do not go together",
    "E021": "a condition that is not true or false",
    "E022": "wrong number or kind of arguments",
    "E023": "a value that its type does not allow",
    "E024": "a record or list where one value is needed",
    "E025": "an unsupported regular expression",
    "E026": "a pattern or network that must be written as a literal",
    # patterns
    "E030": "a repeated step used as one event",
    "E031": "a condition that refers to a later step",
    "E032": "a step that can never be bound",
    "E033": "an absence used as an event",
    "E034": "an absence where the pattern allows none",
    "E035": "a quantifier or gap that makes no sense",
    "E036": "a step outside the rule's alphabet",
    "E037": "a pattern that can match without any event",
    "E039": "a part of `&` or `n of` that is no single event",
    # bounds
    "E040": "state without a bound",
    "E041": "a trailing absence without a span",
    # keys
    "E050": "the key is missing in a step",
    "E051": "a type that cannot be a key",
    "E052": "key parts whose types differ between steps",
    "E053": "the number of key fields differs from the rule's key",
    # rules, outputs, tests
    "E060": "unknown severity",
    "E061": "a clause written twice",
    "E062": "a clause is missing",
    "E063": "a malformed format specification",
    "E064": "an event type without event time",
    "E065": "an unknown attribute",
    "E066": "options of a rule that do not go together",
    "E067": "`skip to` a step where no match can go on",
    "E068": "an emitted event that lacks a field, or has one too many",
    "E070": "a test that names no rule",
    "E071": "a test step that makes no sense",
    # windows
    "E080": "a window that makes no sense",
    "E081": "a way of firing that this kind of window does not have",
    "E082": "a clause that does not go with a window",
    # reference data
    "E085": "a table or list that makes no sense",
    "E086": "a file of reference data outside of the rule file's folder",
    "E087": "a field of a row that may not be there, without `?.`",
    # place held for the rest of the language
    "E090": "part of the language that is not available yet",
    # warnings
    "W001": "`not` overlaps the next step",
    "W002": "`!=` or `not` over an optional field",
    "W003": "a condition that is always the same",
}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing to tell the author; `hint` is the nearest fix, if there is one."""

    code: str
    message: str
    span: Span
    hint: str | None = None

    @property
    def severity(self) -> Literal["error", "warning"]:
        return "error" if self.code.startswith("E") else "warning"

    def render(self, source: Source) -> str:
        """`path:line:col: error[E010]: message`, the line with a caret, and the hint."""
        line, column = source.line_column(self.span.start)
        head = f"{self.span.path}:{line}:{column}: {self.severity}[{self.code}]: {self.message}"
        caret = "\n".join(f"    {part}" for part in source.caret(self.span).split("\n"))
        tail = f"\n  help: {self.hint}" if self.hint else ""
        return printable(f"{head}\n{caret}{tail}")

    def to_json(self, source: Source) -> dict[str, object]:
        """The shape of `cep check --json`; lines and columns count from 1."""
        line, column = source.line_column(self.span.start)
        end_line, end_column = source.line_column(self.span.end)
        return {
            "code": self.code,
            "severity": self.severity,
            "message": printable(self.message),
            "hint": printable(self.hint) if self.hint else None,
            "path": self.span.path,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        }


class RuleError(Exception):
    """Rule text that does not compile; `str()` shows every diagnostic."""

    def __init__(self, diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> None:
        self.diagnostics = tuple(diagnostics)
        self.sources = dict(sources)
        super().__init__(render_all(diagnostics, sources))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(diagnostic.severity == "error" for diagnostic in diagnostics)


def render_all(diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source]) -> str:
    """Every diagnostic as text, separated by newlines; unknown paths show without their line."""
    return "\n".join(
        diagnostic.render(sources.get(diagnostic.span.path, Source(diagnostic.span.path, "")))
        for diagnostic in diagnostics
    )


def in_reading_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sorted by file and place, without repetitions; files keep the order of first mention."""
    found = list(dict.fromkeys(diagnostics))
    order = {path: i for i, path in enumerate(dict.fromkeys(d.span.path for d in found))}
    return sorted(found, key=lambda d: (order[d.span.path], d.span.start, d.span.end, d.code))


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """`did you mean `x`?` for the known name closest to `name`, if one is close."""
    import difflib  # loaded only when something is wrong

    wanted = name.lower()[:80]
    candidates = {candidate.lower(): candidate for candidate in known if len(candidate) <= 80}
    likely = sorted(candidates, key=lambda c: (c[:1] != wanted[:1], abs(len(c) - len(wanted))))
    close = difflib.get_close_matches(wanted, likely[: limits.SUGGESTIONS_MAX], n=1, cutoff=0.6)
    return f"did you mean `{candidates[close[0]]}`?" if close else None


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`, for hints that list what is allowed."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} or {listed[-1]}"


def printable(text: str) -> str:
    """Text that any terminal and encoder can take: controls and surrogates are escaped."""
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\u{ord(c):04x}" for c in text)
