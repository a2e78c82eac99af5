"""The constructs of the language that a rule's model has, by name.

    constructs(rule) = those that are in `rule`;  CONSTRUCTS = all there are

`test_constructs_are_drawn` asks whether random rules have them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from dsl.model import (
    WINDOW,
    Aggregate,
    AnyOrder,
    Arrow,
    Bind,
    Call,
    Choice,
    Contiguity,
    Derived,
    Expr,
    FieldRef,
    Fire,
    KeyRef,
    Link,
    Pattern,
    Policy,
    Repeat,
    Rule,
    Runs,
    Silence,
    Skip,
    Step,
    WindowFire,
    WindowKind,
)
from dsl.model import Sequence as SequencePattern
from dsl.operators import AGGREGATES, LOOKUPS
from matcher.schema import walk

QUANTIFIERS = ("?", "*", "+", "{n}", "{n,}", "{n,m}", "{,m}")
PREFERENCES = ("greedy", "reluctant", "possessive")
GAPS = ("no gap", "least gap", "greatest gap", "both gaps")
WINDOW_FIRES = {
    WindowKind.SLIDING: (WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE),
    WindowKind.COUNT: (WindowFire.EDGE, WindowFire.EACH, WindowFire.ONCE),
    WindowKind.TUMBLING: tuple(WindowFire),
    WindowKind.SESSION: tuple(WindowFire),
    WindowKind.HOPPING: (WindowFire.CLOSE, WindowFire.ONCE),
}
_OF_WINDOWS = frozenset(AGGREGATES) - {"nth", "prev"}

PATTERNS = frozenset(
    {
        *(f"A {arrow} B, {gap}" for arrow, gap in product(Contiguity, GAPS)),
        *(f"A{each}, {way}" for each, way in product(QUANTIFIERS, PREFERENCES)),
        *("loop with gap", "consecutive", "combinations", "until", "loop in loop"),
        *("loop of a group", "loop of alternatives", "group", "A | B", "A & B", "n of"),
        *("loop in &", "alternatives in &", "not in &", "arrow in &"),
        *("not between", "not between, for", "not after", "not after, for", "=> not"),
        *("silence", "silence of several", "silence before"),
    }
)
OPTIONS = frozenset(
    {
        *("within", "within unbounded", "where", "over"),
        *("no key", "one key", "two keys", "key of a step"),
        *(f"skip {way}" for way in Skip),
        *(f"runs {way}" for way in Runs),
        *(f"fire {way}" for way in Fire),
        *("matches all", "limit", "cancel on", "cancel on, by", "resolve on", "resolve on, by"),
        *("own condition", "condition on another step", "condition on a loop", "own aggregate"),
        *(f"{name} of a step" for name in AGGREGATES if name != "list"),
        "list of a step",
    }
)
WINDOWS = frozenset(
    {
        *(f"window {kind}, fire {fire}" for kind, fires in WINDOW_FIRES.items() for fire in fires),
        *(f"{name} of a window" for name in _OF_WINDOWS),
        *("window, resolve on", "window, resolve when"),
        *("capped session", "count window, every", "window of several sources", "key in when"),
    }
)
FACTS = frozenset(
    {
        *("feature sliding", "feature count", "feature with a filter", "first_seen"),
        *("fact in a pattern", "fact in a window"),
    }
)
TABLES = frozenset(
    {
        *("lookup", "listed", "lookup in when", "listed in when"),
        *("lookup in a fact", "keys from a table"),
    }
)
EMITS = frozenset({"emit", "pattern over emitted events", "window over emitted events"})
CONSTRUCTS = PATTERNS | OPTIONS | WINDOWS | FACTS | TABLES | EMITS


def constructs(rule: Rule) -> set[str]:
    """See the module head."""
    found = {*_of_expressions(rule), *_of_keys(rule), *_of_emitted(rule)}
    if rule.window is not None:
        return found | {*_of_window(rule)}
    return found | {*_of_pattern(rule.pattern, top=True), *_of_options(rule)}


# --------------------------------------------------------------------------------- patterns


def _of_pattern(pattern: Pattern, *, top: bool = False) -> Iterator[str]:
    match pattern:
        case Bind():
            return
        case Silence(absent):
            yield "silence of several" if len(absent) > 1 else "silence"
        case Choice(options):
            yield "A | B"
            for option in options:
                yield from _of_pattern(option)
        case AnyOrder():
            yield from _of_any_order(pattern)
        case Repeat():
            yield from _of_loop(pattern)
        case SequencePattern(first, links):
            if isinstance(first, Silence):
                yield "silence before"
            yield from () if top else ("group",)
            yield from _of_pattern(first)
            for link in links:
                yield from _of_link(link)


def _of_link(link: Link) -> Iterator[str]:
    if link.to is None:
        if link.arrow.contiguity is Contiguity.STRICT:
            yield "=> not"
        yield "not after" if link.absent_for_ms is None else "not after, for"
        return
    if link.absent:
        yield "not between" if link.absent_for_ms is None else "not between, for"
    yield f"A {link.arrow.contiguity} B, {_gap(link.arrow)}"
    yield from _of_pattern(link.to)


def _of_loop(loop: Repeat) -> Iterator[str]:
    yield f"A{_quantifier(loop.least, loop.most)}, {_preference(loop)}"
    if loop.arrow.min_gap_ms is not None or loop.arrow.max_gap_ms is not None:
        yield "loop with gap"
    if loop.arrow.contiguity is Contiguity.STRICT:
        yield "consecutive"
    if loop.arrow.contiguity is Contiguity.ANY:
        yield "combinations"
    if loop.until:
        yield "until"
    match loop.node:
        case Repeat():
            yield "loop in loop"
        case SequencePattern():
            yield "loop of a group"
        case Choice():
            yield "loop of alternatives"
    yield from _of_pattern(loop.node)


def _of_any_order(pattern: AnyOrder) -> Iterator[str]:
    yield "A & B" if pattern.count == len(pattern.parts) else "n of"
    if pattern.absent:
        yield "not in &"
    if pattern.arrow != Arrow():
        yield "arrow in &"
    for part in pattern.parts:
        if isinstance(part, Repeat):
            yield "loop in &"
        elif isinstance(part, Choice):
            yield "alternatives in &"
        yield from _of_pattern(part)


def _quantifier(least: int, most: int | None) -> str:
    known = {(0, 1): "?", (0, None): "*", (1, None): "+"}
    if (least, most) in known:
        return known[least, most]
    if most is None:
        return "{n,}"
    if least == most:
        return "{n}"
    return "{n,m}" if least else "{,m}"


def _preference(loop: Repeat) -> str:
    if loop.possessive:
        return "possessive"
    return "greedy" if loop.greedy else "reluctant"


def _gap(arrow: Arrow) -> str:
    return GAPS[(arrow.min_gap_ms is not None) + 2 * (arrow.max_gap_ms is not None)]


# --------------------------------------------------------------------------------- options


def _of_options(rule: Rule) -> Iterator[str]:
    policy = rule.policy
    yield "within unbounded" if rule.within_ms is None else "within"
    yield f"skip {rule.skip}"
    yield f"runs {policy.runs}"
    yield f"fire {policy.fire}"
    if rule.where is not None:
        yield "where"
    if any(symbol.condition is not None for symbol in rule.alphabet):
        yield "over"
    if policy.every:
        yield "matches all"
    if policy.runs_max is not None:
        yield "limit"
    yield from _of_symbols(rule, policy)


def _of_symbols(rule: Rule, policy: Policy) -> Iterator[str]:
    own = tuple((key.name,) for key in rule.keys)
    for name, symbols in ("cancel on", policy.cancel), ("resolve on", policy.resolve):
        for symbol in symbols:
            yield name if symbol.key == own else f"{name}, by"


def _of_keys(rule: Rule) -> Iterator[str]:
    yield ("no key", "one key", "two keys")[len(rule.keys)]
    own = tuple((key.name,) for key in rule.keys)
    if any(step.key != own for step in rule.steps):
        yield "key of a step"
    if rule.key_table is not None:
        yield "keys from a table"


# --------------------------------------------------------------------------------- expressions


def _of_expressions(rule: Rule) -> Iterator[str]:
    for step in rule.steps:
        if step.condition is not None:
            yield from _of_condition(step, step.condition)
            yield from _of_reads(rule, step.condition)
    if rule.where is not None:
        yield from _of_reads(rule, rule.where)
    if rule.window is not None:
        yield from _of_reads(rule, rule.window.when)


def _of_condition(step: Step, condition: Expr) -> Iterator[str]:
    for node in walk(condition):
        if isinstance(node, FieldRef):
            yield "own condition" if node.step is None else "condition on another step"
        elif isinstance(node, Aggregate):
            yield "own aggregate" if node.step == step.index else "condition on a loop"


def _of_reads(rule: Rule, expr: Expr) -> Iterator[str]:
    for node in walk(expr):
        if isinstance(node, Aggregate):
            yield f"{node.function} of a {'window' if node.step == WINDOW else 'step'}"
        elif isinstance(node, Call) and node.op in LOOKUPS:
            yield node.op
        elif isinstance(node, FieldRef) and node.derived is not None:
            yield "fact in a pattern" if rule.window is None else "fact in a window"
            yield from _of_fact(node.derived)


def _of_fact(fact: Derived) -> Iterator[str]:
    yield "first_seen" if fact.aggregate is None else f"feature {fact.shape.kind}"
    if fact.condition is not None:
        yield "feature with a filter"
    values = (fact.aggregate.value,) if fact.aggregate is not None else ()
    for expr in (fact.condition, *values, *fact.key):
        for node in walk(expr) if expr is not None else ():
            if isinstance(node, Call) and node.op in LOOKUPS:
                yield "lookup in a fact"


# --------------------------------------------------------------------------------- windows


def _of_window(rule: Rule) -> Iterator[str]:
    assert rule.window is not None
    shape = rule.window.shape
    yield f"window {shape.kind}, fire {rule.window.fire}"
    if shape.kind is WindowKind.SESSION and shape.cap_ms is not None:
        yield "capped session"
    if shape.kind is WindowKind.COUNT and shape.every > 1:
        yield "count window, every"
    if rule.policy.resolve:
        yield "window, resolve on"
    if rule.resolve_when is not None:
        yield "window, resolve when"
    if len(rule.steps) > 1:
        yield "window of several sources"
    for node in walk(rule.window.when):
        if isinstance(node, KeyRef):
            yield "key in when"
        elif isinstance(node, Call) and node.op in LOOKUPS:
            yield f"{node.op} in when"


def _of_emitted(rule: Rule) -> Iterator[str]:
    """C and D are emitted by random sets of rules; the log has them as well."""
    if rule.emits:
        yield "emit"
    if any(step.event in "CD" for step in rule.steps):
        yield f"{'pattern' if rule.window is None else 'window'} over emitted events"
