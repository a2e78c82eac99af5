"""Text to syntax tree: cut into declarations, parse each alone, collect every syntax error.

`parse_file` never raises on bad text and never recurses into it: brackets are counted before
parsing (`dsl.split`), the LALR parser keeps its own stack, and the depth of the tree is
measured with an explicit stack before anybody walks it.
"""

from __future__ import annotations

import threading
from dataclasses import fields
from functools import cache
from typing import cast

from dsl import ast, limits
from dsl.builder import Build
from dsl.diagnostics import Diagnostic
from dsl.lalr import Parser, Refused
from dsl.source import Source, Span
from dsl.split import declared_name, split
from dsl.syntax_errors import describe
from dsl.tables import tables

_SLOTS: dict[type[ast.Node], tuple[str, ...]] = {}
_lock = threading.Lock()  # one parser with one tree builder, used by one thread at a time


@cache
def _machine() -> tuple[Parser, Build]:
    build = Build()
    return Parser(tables(), build), build


def parse_file(source: Source) -> tuple[ast.File, list[Diagnostic]]:
    """Every declaration that parses, and every syntax error of the file."""
    chunks, problems = split(source)
    declarations, broken = [], []
    for chunk in chunks:
        if not chunk.sound:
            broken.append(declared_name(source.text, chunk))
            continue
        if len(problems) > limits.DIAGNOSTICS_MAX:
            break
        found = _parse(source, chunk.start, chunk.end, "declaration", problems)
        if found is not None and chunk.tokens > limits.TREE_DEPTH_MAX:
            found = _shallow(found, problems)
        if found is not None:
            declarations.append(cast(ast.Declaration, found))
        else:
            broken.append(declared_name(source.text, chunk))
    whole = Span(source.path, 0, len(source.text))
    return ast.File(whole, tuple(declarations), tuple(filter(None, broken))), problems


def parse_expression(
    source: Source, start: int, end: int
) -> tuple[ast.Expression | None, list[Diagnostic]]:
    """The expression between two offsets of `source`: a placeholder of a template."""
    problems: list[Diagnostic] = []
    found = _parse(source, start, end, "expression", problems)
    if found is not None and end - start > limits.TREE_DEPTH_MAX:
        found = _shallow(found, problems)
    return cast("ast.Expression | None", found), problems


def _parse(
    source: Source, start: int, end: int, what: str, problems: list[Diagnostic]
) -> ast.Node | None:
    with _lock:
        parser, build = _machine()
        build.begin(source.path)
        try:
            tree = parser.parse(source.text, start, end, what)
        except Refused as refused:
            complaint = describe(refused, parser.literals, source, start, end, what)
            problems.extend([*build.problems, complaint])
            return None
        problems.extend(build.problems)
    return cast(ast.Node, tree)


def _shallow(root: ast.Node, problems: list[Diagnostic]) -> ast.Node | None:
    """`root`, or None when it has more than `TREE_DEPTH_MAX` levels; iterative on purpose."""
    level: list[ast.Node] = [root]
    for _ in range(limits.TREE_DEPTH_MAX):
        level = [child for node in level for child in children(node)]
        if not level:
            return root
    message = f"nested more than {limits.TREE_DEPTH_MAX} levels deep"
    problems.append(Diagnostic("E005", message, level[0].span, "split it into named parts"))
    return None


def slots_of(node: ast.Node) -> tuple[str, ...]:
    """The names of a node's parts, in reading order."""
    slots = _SLOTS.get(type(node))
    if slots is None:
        slots = _SLOTS[type(node)] = tuple(f.name for f in fields(node) if f.name != "span")
    return slots


def children(node: ast.Node) -> list[ast.Node]:
    """The nodes directly below `node`, in reading order."""
    found: list[ast.Node] = []
    for name in slots_of(node):
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(item for item in value if isinstance(item, ast.Node))
    return found
