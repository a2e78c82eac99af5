"""The syntax tree: one immutable node per construct, in reading order, each with its place.

A tree says what was written, not what it means: names are unresolved, nothing has a type, and
every construct of the grammar has its node whether or not the checker supports it yet.  Places
take no part in equality, so `parse(format(text)) == parse(text)` holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Literal, TypeAlias, TypeVar, dataclass_transform

from dsl.source import Span

_C = TypeVar("_C")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(cls: type[_C]) -> type[_C]:
    """A slotted dataclass that takes equality and printing from `Node`.

    Frozen to the type checker only: the five methods that a frozen dataclass writes and compiles
    for itself, times eighty classes, would cost every start of the command line 40 ms.
    """
    cls.__doc__ = cls.__doc__ or cls.__name__
    make: Callable[[type[_C]], type[_C]] = dataclass(
        slots=True, eq=False, repr=False, match_args=False
    )
    return make(cls)


@node
class Node:
    span: Span = field(compare=False, repr=False)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _compared(type(self)))

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in _compared(type(self)))))

    def __repr__(self) -> str:
        parts = (f"{name}={getattr(self, name)!r}" for name in _compared(type(self)))
        return f"{type(self).__name__}({', '.join(parts)})"


_COMPARED: dict[type[Node], tuple[str, ...]] = {}


def _compared(kind: type[Node]) -> tuple[str, ...]:
    """The fields that make a node what it is: neither its place nor how a literal is spelt."""
    if kind not in _COMPARED:
        _COMPARED[kind] = tuple(f.name for f in fields(kind) if f.compare)
    return _COMPARED[kind]


@node
class Name(Node):
    """A name where it is declared or used; back-ticks are not part of `text`."""

    text: str


# ---------------------------------------------------------------------------------- expressions


@node
class Variable(Node):
    name: str


@node
class Number(Node):
    """`value` is a Decimal exactly when a fraction was written; `text` keeps its digits."""

    value: int | Decimal
    text: str = field(compare=False)


@node
class String(Node):
    """`value` has its escapes resolved; `text` is the literal as written, quotes included."""

    value: str
    text: str = field(compare=False)


@node
class Duration(Node):
    ms: int
    text: str = field(compare=False)


@node
class Boolean(Node):
    value: bool


@node
class Null(Node):
    pass


@node
class Unary(Node):
    op: Literal["not", "-", "exists"]
    operand: Expression


@node
class Binary(Node):
    """`op` is the sign or word as written: + - * / % ?? == != < <= > >= in, is, like."""

    op: str
    left: Expression
    right: Expression


@node
class NotIn(Node):
    value: Expression
    within: Expression


@node
class IsNot(Node):
    left: Expression
    right: Expression


@node
class Logic(Node):
    """A chain of one word: `a and b and c` has three operands."""

    op: Literal["and", "or"]
    operands: tuple[Expression, ...]


@node
class Between(Node):
    value: Expression
    low: Expression
    high: Expression


@node
class MatchesRegex(Node):
    """`value =~ /pattern/flags`; `\\/` in the source is `/` in `pattern`."""

    value: Expression
    pattern: str
    flags: str


@node
class Conditional(Node):
    condition: Expression
    then: Expression
    otherwise: Expression


@node
class AttributeOf(Node):
    """`base.name`, or `base?.name` when `optional`."""

    base: Expression
    name: Name
    optional: bool


@node
class Index(Node):
    base: Expression
    index: Expression


@node
class Argument(Node):
    name: Name | None
    value: Expression


@node
class Invoke(Node):
    function: Expression
    arguments: tuple[Argument, ...]


@node
class Array(Node):
    items: tuple[Expression, ...]


@node
class Entry(Node):
    """`name: value`; without a value, the name stands for the variable of that name."""

    name: Name
    value: Expression | None


@node
class Object(Node):
    entries: tuple[Entry, ...]


Expression: TypeAlias = (
    Variable
    | Number
    | String
    | Duration
    | Boolean
    | Null
    | Unary
    | Binary
    | NotIn
    | IsNot
    | Logic
    | Between
    | MatchesRegex
    | Conditional
    | AttributeOf
    | Index
    | Invoke
    | Array
    | Object
)

# ---------------------------------------------------------------------------------- patterns


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
    """`most is None` has no upper bound."""

    pattern: Pattern
    least: int
    most: int | None
    preference: Literal["greedy", "reluctant", "possessive"]
    modifiers: tuple[Modifier, ...]


@node
class SomeOf(Node):
    count: int
    options: tuple[Pattern, ...]


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

# ---------------------------------------------------------------------------------- clauses


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
    value: int


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
    size: Duration | Number | Name | None
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

# ---------------------------------------------------------------------------------- data


@node
class Attribute(Node):
    """`@name` or `@name(arguments)` behind a field."""

    name: Name
    arguments: tuple[Argument, ...]


@node
class NamedType(Node):
    """`int`, `decimal(2)`; `argument` is the number in parentheses."""

    name: Name
    argument: int | None
    optional: bool = False


@node
class EnumType(Node):
    values: tuple[String, ...]
    optional: bool = False


@node
class ListType(Node):
    item: TypeExpression
    optional: bool = False


@node
class RecordType(Node):
    fields: tuple[FieldDeclaration, ...]
    optional: bool = False


TypeExpression: TypeAlias = NamedType | EnumType | ListType | RecordType


@node
class FieldDeclaration(Node):
    name: Name
    type: TypeExpression
    attributes: tuple[Attribute, ...]


@node
class SourceOption(Node):
    """`from kind "address"`, `lateness 30s`, `idle 1m` or `time word` behind a declaration."""

    word: Literal["from", "lateness", "idle", "time"]
    name: Name | None
    value: String | Duration | None


# ---------------------------------------------------------------------------------- declarations


@node
class EventDeclaration(Node):
    name: Name
    parent: Name | None
    discriminator: String | None
    fields: tuple[FieldDeclaration, ...]
    sources: tuple[SourceOption, ...]


@node
class TableDeclaration(Node):
    name: Name
    fields: tuple[FieldDeclaration, ...]
    sources: tuple[SourceOption, ...]


@node
class ListDeclaration(Node):
    name: Name
    type: TypeExpression
    value: Expression | None
    sources: tuple[SourceOption, ...]


@node
class FeatureDeclaration(Node):
    name: Name
    value: Expression
    by: tuple[Name, ...]
    window: Window


@node
class FilterDeclaration(Node):
    name: Name
    core: Core


@node
class DefDeclaration(Node):
    name: Name
    parameters: tuple[Name, ...]
    value: Expression


@node
class Parameter(Node):
    name: Name
    type: TypeExpression
    default: Expression | None


@node
class TemplateDeclaration(Node):
    name: Name
    parameters: tuple[Parameter, ...]
    clauses: tuple[Clause, ...]


@node
class RuleDeclaration(Node):
    name: Name
    title: String | None
    clauses: tuple[Clause, ...]


@node
class RuleInstance(Node):
    name: Name
    template: Name
    arguments: tuple[Argument, ...]


@node
class TestEvent(Node):
    at: Duration
    event: Name
    value: Object


@node
class TestAdvance(Node):
    by: Duration


@node
class TestExpect(Node):
    """`expect [at d] n alert [fields] [where …]`; `expect no alert` has count 0."""

    at: Duration | None
    count: int
    fields: Object | None
    where: Expression | None


@node
class TestGiven(Node):
    name: Name
    value: Expression


TestStep: TypeAlias = TestEvent | TestAdvance | TestExpect | TestGiven


@node
class TestDeclaration(Node):
    rule: Name
    title: String | None
    steps: tuple[TestStep, ...]


Declaration: TypeAlias = (
    EventDeclaration
    | TableDeclaration
    | ListDeclaration
    | FeatureDeclaration
    | FilterDeclaration
    | DefDeclaration
    | TemplateDeclaration
    | RuleDeclaration
    | RuleInstance
    | TestDeclaration
)


@node
class File(Node):
    """`broken` names what was declared in text that does not parse."""

    declarations: tuple[Declaration, ...]
    broken: tuple[str, ...] = ()
