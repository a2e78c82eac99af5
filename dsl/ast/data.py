"""Types, fields and sources: the parts of declarations of data."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dsl.ast.expressions import Argument, Duration, String
from dsl.ast.node import Name, Node, node


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
    """`from kind ["address"]`, `lateness 30s`, `idle 1m` or `time word` behind a declaration."""

    word: Literal["from", "lateness", "idle", "time"]
    name: Name | None
    value: String | Duration | None
