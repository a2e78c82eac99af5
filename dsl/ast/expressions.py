"""Expressions as written: names unresolved, nothing typed."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal
from typing import Literal, TypeAlias

from dsl.ast.node import Name, Node, node


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
    """`value` has its escapes resolved; `text` is the literal as written, quotes included.

    Where a string must be written, a template may name one of its parameters instead.
    """

    value: str
    text: str = field(compare=False)
    parameter: Name | None = None


@node
class Duration(Node):
    """Where a duration must be written, a template may name one of its parameters instead."""

    ms: int
    text: str = field(compare=False)
    parameter: Name | None = None


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
