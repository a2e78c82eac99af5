"""Cuts a file into its top-level declarations before any parsing.

Each declaration is then parsed alone, so one syntax error does not hide the next.  The cut knows
strings, comments and regular expressions, and nothing else of the language: a declaration begins
at one of its keywords outside all brackets.  Here too size, nesting, brackets and characters are
checked, in one linear scan, so the parser only sees text that is safe to hand to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dsl import limits
from dsl.diagnostics import Diagnostic, did_you_mean, one_of
from dsl.source import Source, Span

KEYWORDS = (
    "event",
    "filter",
    "rule",
    "test",
    "table",
    "list",
    "feature",
    "template",
    "def",
)

_STRING = r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"""|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'"
TOKEN = re.compile(
    r"(?P<space>[ \t\r\n\f]+)"
    r"|(?P<comment>(?://|\#)[^\n]*)"
    r"|(?P<regex>=~[ \t]*/(?:\\.|[^/\\\n])+/[a-z]*)"
    rf"|(?P<string>{_STRING}|`[^`\n]+`)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+[A-Za-z]*)"
    r"|(?P<open>[(\[{])"
    r"|(?P<close>[)\]}])"
    r"|(?P<quote>\"\"\"|[\"'`])"
    r"|(?P<sign>->>|->|=>|\.\.|==|!=|<=|>=|[^\x00-\x1f])"
    r"|(?P<control>[\s\S])"
)
_HEAD = re.compile(
    r"(?:event NAME (?:extends\b|[{\"'])|table NAME \{|list NAME :|(?:feature|filter) NAME ="
    r"|(?:def|template) NAME \(|rule NAME [{=\"']|test NAME [{\"'])".replace(
        " NAME ", r"\s+[A-Za-z_][A-Za-z0-9_]*\s*"
    )
)
_DECLARED = re.compile(r"(?:event|filter|rule|table|list|feature|template|def)\s+([A-Za-z_]\w*)")
# Controls, surrogates, and marks that reorder or hide text (as in "trojan source" attacks).
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f\x85\ud800-\udfff\u2028-\u202e\u2066-\u2069\ufeff]"
)
_CLOSER = {"(": ")", "[": "]", "{": "}"}


@dataclass(slots=True)
class Chunk:
    """One declaration's text; `sound` is False when the parser must not see it."""

    start: int
    end: int
    tokens: int = 0
    sound: bool = True
    unclosed_quote: bool = False


@dataclass(slots=True)
class _Scan:
    source: Source
    chunks: list[Chunk] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    open: list[tuple[str, int]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.problems) >= limits.DIAGNOSTICS_MAX

    def problem(self, code: str, message: str, start: int, end: int, hint: str | None) -> None:
        span = Span(self.source.path, start, end)
        self.problems.append(Diagnostic(code, message, span, hint))

    def spoil(self) -> None:
        if self.chunks:
            self.chunks[-1].sound = False


def split(source: Source) -> tuple[list[Chunk], list[Diagnostic]]:
    """The declarations of `source` in order, and everything wrong that needs no grammar.

    Text over a limit has no declarations: it is refused without being parsed.
    """
    scan = _Scan(source)
    text = source.text
    if len(text) > limits.FILE_CHARS_MAX:
        scan.problem("E004", f"a file longer than {limits.FILE_CHARS_MAX:,} characters", 0, 1, None)
        return [], scan.problems
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        at = forbidden.start()
        message = f"the character U+{ord(text[at]):04X} is not allowed in rule text"
        scan.problem("E003", message, at, at + 1, None)
        return [], scan.problems
    _walk(scan)
    over_limit = any(problem.code in {"E004", "E005"} for problem in scan.problems)
    return [] if over_limit else scan.chunks, scan.problems


def _walk(scan: _Scan) -> None:
    text, total, first_on_line, line_start = scan.source.text, 0, True, 0
    length_allowed = len(text) + limits.DENSITY_FREE_CHARS
    tokens_max = length_allowed / limits.CHARS_PER_TOKEN_MIN
    declarations_max = length_allowed / limits.CHARS_PER_DECLARATION_MIN
    position, length, stray = 0, len(scan.source.text), False
    while position < length and not scan.full:
        token = TOKEN.match(text, position)
        assert token is not None, "the last alternative takes any character"
        kind, start, position = token.lastgroup, position, token.end()
        if kind == "space":
            newline = text.rfind("\n", start, position)
            if newline >= 0:
                first_on_line, line_start = True, newline + 1
            continue
        if kind == "comment":
            continue
        total += 1
        if kind == "string":
            total += limits.PLACEHOLDER_TOKENS * text.count("{", start, position)
        if total > tokens_max:
            message = "too many words and signs for a file of this length"
            scan.problem("E004", message, start, position, None)
            scan.spoil()
            return
        if kind == "word" and _begins_declaration(scan, token, first_on_line, start == line_start):
            _close_chunk(scan)
            if len(scan.chunks) >= declarations_max:
                message = "too many declarations for a file of this length"
                scan.problem("E004", message, start, position, None)
                return
            scan.chunks.append(Chunk(start, length))
            stray = False
        elif not scan.chunks and not stray:
            stray = True
            _stray(scan, token)
        first_on_line = False
        if scan.chunks:
            chunk = scan.chunks[-1]
            chunk.tokens += 1
            chunk.end = position
            if chunk.tokens == limits.DECLARATION_TOKENS_MAX:
                scan.problem("E004", "a declaration that is too long", chunk.start, chunk.end, None)
                chunk.sound = False
        if kind in {"open", "close"}:
            if not _bracket(scan, kind == "open", token[0], start):
                return
        elif kind == "quote":
            name = "name in back-ticks" if token[0] == "`" else "string"
            end = text.find("\n", start) if token[0] != '"""' else length
            position = end = length if end < 0 else end
            scan.problem("E002", f"a {name} that is not closed", start, end, None)
            scan.spoil()
            if scan.chunks:
                scan.chunks[-1].unclosed_quote = True
    _close_chunk(scan)


def declared_name(text: str, chunk: Chunk) -> str | None:
    """The name a declaration seems to declare, for text that does not parse."""
    found = _DECLARED.match(text, chunk.start, chunk.end)
    return found[1] if found is not None else None


def _begins_declaration(scan: _Scan, token: re.Match[str], first: bool, at_margin: bool) -> bool:
    if token[0] not in KEYWORDS:
        return False
    if scan.open:  # a bracket left open must not swallow the rest of the file
        return at_margin and _HEAD.match(token.string, token.start()) is not None
    return first or _HEAD.match(token.string, token.start()) is not None


def _stray(scan: _Scan, token: re.Match[str]) -> None:
    hint = did_you_mean(token[0], KEYWORDS) or f"a file holds {one_of(KEYWORDS)} declarations"
    scan.problem("E001", "expected a declaration here", token.start(), token.end(), hint)


def _bracket(scan: _Scan, opens: bool, sign: str, at: int) -> bool:
    """Keeps track of one bracket; False when nesting is too deep to go on."""
    if opens:
        scan.open.append((sign, at))
        if len(scan.open) > limits.BRACKET_DEPTH_MAX:
            message = f"brackets nested more than {limits.BRACKET_DEPTH_MAX} deep"
            scan.problem("E005", message, at, at + 1, None)
            scan.spoil()
            return False
        return True
    if scan.open and _CLOSER[scan.open[-1][0]] == sign:
        scan.open.pop()
        return True
    hint = f"`{scan.open[-1][0]}` is open here" if scan.open else None
    scan.problem("E008", f"`{sign}` closes nothing that is open", at, at + 1, hint)
    scan.spoil()
    while any(_CLOSER[opener] == sign for opener, _ in scan.open):
        if _CLOSER[scan.open.pop()[0]] == sign:
            break
    return True


def _close_chunk(scan: _Scan) -> None:
    if scan.open and not (scan.chunks and scan.chunks[-1].unclosed_quote):
        opener, at = scan.open[0]
        scan.problem("E008", f"`{opener}` is never closed", at, at + 1, f"add `{_CLOSER[opener]}`")
        scan.spoil()
    scan.open.clear()
