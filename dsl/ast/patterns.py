"""Patterns as written, from one step to arrows between groups."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dsl.ast.expressions import Duration, Expression
from dsl.ast.node import Name, Node, node


@node
class Path(Node):
    names: tuple[str, ...]


@node
class Core(Node):
    """An event type or filter, an optional condition, and the step's own key fields."""

    name: Name
    condition: Expression | None
    by: tuple[Path, ...] | None


@node
class Step(Node):
    alias: Name | None
    core: Core


@node
class Gap(Node):
    least: Duration | None
    most: Duration | None


@node
class Arrow(Node):
    sign: Literal["->", "=>", "->>"]
    gap: Gap | None


@node
class Absent(Node):
    pattern: Pattern
    within: Duration | None


@node
class Modifier(Node):
    """`consecutive`, `combinations`, `until core` or `gap ..30s` behind a quantifier."""

    word: Literal["consecutive", "combinations", "until", "gap"]
    value: Core | Gap | None


@node
class Repetition(Node):
    """`most is None` has no upper bound; a bound may be a parameter of the template it is in."""

    pattern: Pattern
    least: int
    most: int | None
    preference: Literal["greedy", "reluctant", "possessive"]
    modifiers: tuple[Modifier, ...]
    least_from: Name | None = None
    most_from: Name | None = None


@node
class SomeOf(Node):
    """`count` may be a parameter of the template it is in."""

    count: int
    options: tuple[Pattern, ...]
    count_from: Name | None = None


@node
class Conjunction(Node):
    parts: tuple[Pattern, ...]


@node
class Alternation(Node):
    options: tuple[Pattern, ...]


@node
class Follow(Node):
    arrow: Arrow
    pattern: Pattern


@node
class Sequence(Node):
    first: Pattern
    rest: tuple[Follow, ...]


Pattern: TypeAlias = Step | Absent | Repetition | SomeOf | Conjunction | Alternation | Sequence
