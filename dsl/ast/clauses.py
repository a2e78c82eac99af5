"""The clauses of a rule, in the order people usually write them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dsl.ast.expressions import Duration, Expression, Number, Object, String
from dsl.ast.node import Name, Node, node
from dsl.ast.patterns import Core, Path, Pattern


@node
class Severity(Node):
    name: Name


@node
class Tags(Node):
    tags: tuple[String, ...]


@node
class Doc(Node):
    text: String


@node
class Priority(Node):
    """The number may be a parameter of the template it is in, as in `Limit`."""

    value: int
    value_from: Name | None = None


@node
class KeyPart(Node):
    """`path`, its rows' table when `in` is written, and its name when `as` is."""

    path: Path
    table: Name | None
    name: Name | None


@node
class By(Node):
    parts: tuple[KeyPart, ...]


@node
class Window(Node):
    kind: Name
    size: Duration | Number | None
    every: Duration | Number | None
    cap: Duration | None


@node
class Over(Node):
    sources: tuple[Core, ...]
    window: Window | None


@node
class Match(Node):
    pattern: Pattern


@node
class Within(Node):
    """`span is None` is written `unbounded`."""

    limit: Duration | None
    per_step: bool


@node
class Where(Node):
    condition: Expression


@node
class When(Node):
    condition: Expression


@node
class Cancel(Node):
    on: Core


@node
class AfterMatch(Node):
    skip: Literal["past last", "to next", "to first", "to last", "no skip"]
    target: Name | None


@node
class Choose(Node):
    """`fire once`, `runs all`, `matches best`: a mode chosen by a word."""

    what: Literal["fire", "runs", "matches"]
    word: Name


@node
class Limit(Node):
    runs: int
    runs_from: Name | None = None


@node
class Suppress(Node):
    by: tuple[Name, ...] | None
    lasting: Duration


@node
class ResolveOn(Node):
    on: Core


@node
class ResolveWhen(Node):
    condition: Expression


@node
class Alert(Node):
    message: String
    attributes: Object | None


@node
class Emit(Node):
    event: Name
    fields: Object


@node
class Notify(Node):
    destinations: tuple[String, ...]


Clause: TypeAlias = (
    Severity
    | Tags
    | Doc
    | Priority
    | By
    | Over
    | Match
    | Within
    | Where
    | When
    | Cancel
    | AfterMatch
    | Choose
    | Limit
    | Suppress
    | ResolveOn
    | ResolveWhen
    | Alert
    | Emit
    | Notify
)
