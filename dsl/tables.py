"""The grammar as tables: what `dsl.lalr` needs to parse, and nothing of Lark.

Lark reads `grammar.lark` and works the tables out, once per grammar and user: they are kept as JSON
in the user's cache folder under the hash of the grammar, since Lark takes longer to load than a
rule file to check.  Without a writable home they are made at each start.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    from lark import Lark

GRAMMAR = Path(__file__).with_name("grammar.lark")
STARTS = ("declaration", "expression")
END_OF_TEXT = r"\Z"
FORMAT = 1
"""To be raised when tables are written in another way."""

Lexer: TypeAlias = tuple[str, dict[str, dict[str, str]]]


class Tables(TypedDict):
    """States, rules and lexers are numbered; `actions` to `lexer` have one entry per state.

    An action shifts to a state (≥ 0) or reduces by rule ~action.  A lexer is a regular expression
    of named groups, and for some groups the texts that are keywords: group → text → terminal.
    """

    starts: dict[str, tuple[int, int]]  # the state to begin in, and the one that means success
    actions: list[dict[str, int]]  # terminal → action
    gotos: list[dict[str, int]]  # name of a rule → state
    lexer: list[int]
    lexers: list[Lexer]
    skipped: str  # the regular expression of what stands between terminals
    everywhere: int  # the lexer of all terminals, to name what stands in a wrong place
    rules: list[Rule]
    literals: dict[str, str]  # terminal → its only text


class Rule(TypedDict):
    """`size` values become one.  What the builder's method is given of them is in `shape`.

    n ≥ 0 stands for value n, ~n for each of the values in list n, null for None; `shape` is None
    when it is given the values as they are.  Without a `method` they stay a list.
    """

    origin: str
    size: int
    shape: list[int | None] | None
    method: str | None
    single: bool  # one value alone is passed on as it is


def tables() -> Tables:
    """The tables of `grammar.lark`, from the cache if they are there."""
    file = _file()
    try:
        data = file.read_bytes() if file is not None else b""
        return _loaded(data)
    except (OSError, ValueError):  # not there yet, or not whole
        data = json.dumps(make(lark_of_grammar())).encode()
    if file is not None:
        _write(file, data)
    return _loaded(data)


def _loaded(data: bytes) -> Tables:
    loaded: Tables = json.loads(data)
    return loaded


def lark_of_grammar() -> Lark:
    from lark import Lark

    return Lark(
        GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        start=list(STARTS),
        keep_all_tokens=True,
        maybe_placeholders=True,
    )


def make(lark: Lark) -> Tables:
    """The tables that Lark parses with; they reach into it, so a test compares the two."""
    parser: Any = lark.parser
    table = parser.parser._parse_table
    states = sorted(table.states)
    number = {state: i for i, state in enumerate(states)}
    rules = list(dict.fromkeys(lark.rules))
    rule_number = {rule: i for i, rule in enumerate(rules)}
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in states:
        actions.append({})
        gotos.append({})
        for name, (action, target) in table.states[state].items():
            if action.name == "Reduce":
                actions[-1][name] = ~rule_number[target]
            else:
                (actions if name.isupper() else gotos)[-1][name] = number[target]
    patterns = {terminal.name: terminal.pattern.to_regexp() for terminal in lark.terminals}
    skipped = f"(?:{'|'.join(patterns.pop(name) for name in lark.ignore_tokens)})*+"
    lexers: dict[str, tuple[int, Lexer]] = {}

    def lexer(basic: Any) -> int:
        made = _lexer(basic, skipped, patterns)
        return lexers.setdefault(json.dumps(made), (len(lexers), made))[0]

    return Tables(
        starts={
            start: (number[table.start_states[start]], number[table.end_states[start]])
            for start in STARTS
        },
        actions=actions,
        gotos=gotos,
        lexer=[lexer(parser.lexer.lexers[state]) for state in states],
        skipped=skipped,
        everywhere=lexer(parser.lexer.root_lexer),
        lexers=[made for _, made in lexers.values()],
        rules=[_rule(rule) for rule in rules],
        literals={
            terminal.name: terminal.pattern.value
            for terminal in lark.terminals
            if terminal.pattern.type == "str"
        },
    )


def _lexer(basic: Any, skipped: str, patterns: Mapping[str, str]) -> Lexer:
    """What is ignored is skipped first; the end of the text matches without a group."""
    names = [terminal.name for terminal in basic.scanner.terminals if terminal.name in patterns]
    groups = [f"(?P<{name}>{patterns[name]})" for name in names]
    keywords = {
        name: {word.pattern.value: word.name for word in callback.scanner.terminals}
        for name, callback in basic.callback.items()
    }
    return f"{skipped}(?:{'|'.join([*groups, END_OF_TEXT])})", keywords


def _rule(rule: Any) -> Rule:
    symbols, options = rule.expansion, rule.options
    # Lark marks with True each place where an absent part in […] leaves a None.
    empty = iter(options.empty_indices or (False,) * len(symbols))
    shape: list[int | None] = []
    index = 0
    for is_none in empty:
        if is_none:
            shape.append(None)
            continue
        symbol = symbols[index]
        shape.append(~index if not symbol.is_term and symbol.name.startswith("_") else index)
        index += 1
    helper = rule.origin.name.startswith("_")
    return Rule(
        origin=str(rule.origin.name),
        size=len(symbols),
        shape=None if shape == list(range(len(symbols))) else shape,
        method=None if helper else str(rule.alias or rule.origin.name),
        single=bool(options.expand1 and not rule.alias),
    )


# ---------------------------------------------------------------------------------- the cache


def _file() -> Path | None:
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cep")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned = folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows the home
        return None
    digest = hashlib.blake2b(GRAMMAR.read_bytes(), digest_size=8, salt=bytes([FORMAT])).hexdigest()
    return folder / f"grammar-{digest}.json" if owned else None


def _write(file: Path, data: bytes) -> None:
    """All or nothing, also when several processes start at once."""
    part = file.with_suffix(f".{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
