"""Hypothesis strategies for syntax trees that the parser could have made."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from dsl import ast
from dsl.source import Span
from dsl.strings import duration_ms, quote

HERE = Span("<generated>", 0, 0)
NAMES = ["a", "amount", "by", "match", "rule", "within", "in", "of", "is_x", "_y", "Payment", "gap"]
ODD_NAMES = ["not", "if", "exists", "true", "null", "two words", "é", "9lives"]
REGEXES = ["a+", "/", "^/api/v1", r"\d+\.exe", "(a|b)$", r"\\", "[/]"]

plain_names = st.sampled_from(NAMES)
names = plain_names.map(lambda text: ast.Name(HERE, text))
any_names = st.sampled_from(NAMES + ODD_NAMES)
strings = st.text(max_size=8).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t))
durations = st.sampled_from(["0s", "5m", "1h30m", "250ms", "2w"]).map(
    lambda text: ast.Duration(HERE, duration_ms(text), text)
)


# Behind `gap 5s..` a word of the language begins the next clause, so parameters have other names.
used_parameters = st.sampled_from(["span", "low", "desk"]).map(lambda text: ast.Name(HERE, text))
spans = durations | used_parameters.map(lambda name: ast.Duration(HERE, 0, name.text, name))


def _string(value: str) -> ast.String:
    return ast.String(HERE, value, quote(value))


string_nodes = strings.map(_string)
texts = string_nodes | used_parameters.map(lambda name: ast.String(HERE, "", name.text, name))
integers = st.integers(0, 10**12).map(lambda n: ast.Number(HERE, n, str(n)))
fractions = st.decimals(0, 10**6, places=3).map(
    lambda d: ast.Number(HERE, Decimal(f"{d:.3f}"), f"{d:.3f}")
)
leaves = st.one_of(
    any_names.map(lambda text: ast.Variable(HERE, text)),
    integers,
    fractions,
    string_nodes,
    durations,
    st.booleans().map(lambda value: ast.Boolean(HERE, value)),
    st.just(ast.Null(HERE)),
)


def _compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(inner, min_size=2, max_size=3).map(tuple)
    name = any_names.map(lambda text: ast.Name(HERE, text))
    arguments = st.lists(
        st.builds(ast.Argument, st.just(HERE), st.none() | names, inner), max_size=2
    ).map(tuple)
    entries = st.lists(st.builds(ast.Entry, st.just(HERE), name, st.none() | inner), max_size=2)
    signs = ["+", "-", "*", "/", "%", "??", "==", "!=", "<", "<=", ">", ">=", "in", "is", "like"]
    here = st.just(HERE)
    return st.one_of(
        st.builds(ast.Unary, here, st.sampled_from(["not", "-", "exists"]), inner),
        st.builds(ast.Binary, here, st.sampled_from(signs), inner, inner),
        st.builds(ast.NotIn, here, inner, inner),
        st.builds(ast.IsNot, here, inner, inner),
        st.builds(ast.Logic, here, st.sampled_from(["and", "or"]), many),
        st.builds(ast.Between, here, inner, inner, inner),
        st.builds(
            ast.MatchesRegex, here, inner, st.sampled_from(REGEXES), st.sampled_from(["", "i"])
        ),
        st.builds(ast.Conditional, here, inner, inner, inner),
        st.builds(ast.AttributeOf, here, inner, name, st.booleans()),
        st.builds(ast.Index, here, inner, inner, st.lists(inner, max_size=1).map(tuple)),
        st.builds(ast.Invoke, here, inner, arguments),
        st.builds(ast.Array, here, st.lists(inner, max_size=2).map(tuple)),
        st.builds(ast.Object, here, entries.map(tuple)),
    )


expressions: st.SearchStrategy[Any] = st.recursive(leaves, _compound, max_leaves=8)

objects = st.lists(
    st.builds(ast.Entry, st.just(HERE), names, st.none() | expressions), max_size=3
).map(lambda entries: ast.Object(HERE, tuple(entries)))

paths = st.lists(plain_names, min_size=1, max_size=2).map(lambda n: ast.Path(HERE, tuple(n)))
cores = st.builds(
    ast.Core,
    st.just(HERE),
    names,
    st.none() | expressions,
    st.none() | st.lists(paths, min_size=1, max_size=2).map(tuple),
)
steps = st.builds(ast.Step, st.just(HERE), st.none() | names, cores)
gaps = (
    st.tuples(st.none() | spans, st.none() | spans)
    .filter(any)
    .map(lambda pair: ast.Gap(HERE, *pair))
)
arrows = st.builds(ast.Arrow, st.just(HERE), st.sampled_from(["->", "=>", "->>"]), st.none() | gaps)
modifiers = st.one_of(
    st.sampled_from(["consecutive", "combinations"]).map(lambda w: ast.Modifier(HERE, w, None)),
    cores.map(lambda core: ast.Modifier(HERE, "until", core)),
    gaps.map(lambda gap: ast.Modifier(HERE, "gap", gap)),
)


def _patterns(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    here = st.just(HERE)
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    follows = st.lists(st.builds(ast.Follow, here, arrows, inner), min_size=1, max_size=2)
    counts = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 5))
    repetitions = st.builds(
        lambda node, count, word, mods: ast.Repetition(HERE, node, *count, word, tuple(mods)),
        inner,
        counts,
        st.sampled_from(["greedy", "reluctant", "possessive"]),
        st.lists(modifiers, max_size=1),
    ) | st.builds(
        lambda node, least, most: ast.Repetition(HERE, node, 1, 1, "greedy", (), least, most),
        inner,
        used_parameters,
        used_parameters,
    )
    return st.one_of(
        st.builds(ast.Absent, here, inner, st.none() | spans),
        repetitions,
        st.builds(ast.SomeOf, here, st.integers(1, 3), several),
        st.builds(ast.SomeOf, here, st.just(1), several, names),
        st.builds(ast.Conjunction, here, several),
        st.builds(ast.Alternation, here, several),
        st.builds(ast.Sequence, here, inner, follows.map(tuple)),
    )


patterns: st.SearchStrategy[Any] = st.recursive(steps, _patterns, max_leaves=5)

clauses = st.one_of(
    patterns.map(lambda pattern: ast.Match(HERE, pattern)),
    st.builds(ast.Within, st.just(HERE), st.none() | spans, st.booleans()),
    expressions.map(lambda expression: ast.Where(HERE, expression)),
    expressions.map(lambda expression: ast.When(HERE, expression)),
    cores.map(lambda core: ast.Cancel(HERE, core)),
    st.builds(
        ast.Suppress,
        st.just(HERE),
        st.none() | st.lists(names, min_size=1, max_size=2).map(tuple),
        spans,
    ),
    string_nodes.map(lambda text: ast.Alert(HERE, text, None)),
    st.lists(texts, min_size=1, max_size=2).map(lambda n: ast.Notify(HERE, tuple(n))),
    st.lists(texts, min_size=1, max_size=2).map(lambda n: ast.Tags(HERE, tuple(n))),
    st.integers(0, 100).map(lambda number: ast.Priority(HERE, number)),
    names.map(lambda name: ast.Priority(HERE, 1, name)),
    st.integers(0, 100).map(lambda number: ast.Limit(HERE, number)),
    names.map(lambda name: ast.Limit(HERE, 1, name)),
    string_nodes.map(lambda text: ast.Doc(HERE, text)),
    st.builds(ast.Emit, st.just(HERE), names, objects),
)
rules = st.builds(
    ast.RuleDeclaration,
    st.just(HERE),
    names,
    st.none() | string_nodes,
    st.lists(clauses, max_size=4).map(tuple),
)
parameters = st.builds(
    ast.Parameter,
    st.just(HERE),
    names,
    st.sampled_from(["int", "duration", "string"]).map(
        lambda kind: ast.NamedType(HERE, ast.Name(HERE, kind), None)
    ),
    st.none() | leaves,
)
templates = st.builds(
    ast.TemplateDeclaration,
    st.just(HERE),
    names,
    st.lists(parameters, min_size=1, max_size=3).map(tuple),
    st.lists(clauses, max_size=4).map(tuple),
)
instances = st.builds(
    ast.RuleInstance,
    st.just(HERE),
    names,
    names,
    st.lists(st.builds(ast.Argument, st.just(HERE), names, leaves), max_size=2).map(tuple),
)
filters = st.builds(ast.FilterDeclaration, st.just(HERE), names, cores)
