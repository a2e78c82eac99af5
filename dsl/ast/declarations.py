"""What stands at the top level of a file, inline tests included."""

from __future__ import annotations

from typing import TypeAlias

from dsl.ast.clauses import Clause, Window
from dsl.ast.data import FieldDeclaration, SourceOption, TypeExpression
from dsl.ast.expressions import Argument, Duration, Expression, Object, String
from dsl.ast.node import Name, Node, node
from dsl.ast.patterns import Core


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
