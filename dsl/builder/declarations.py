"""Declarations of data and inline tests to nodes: the complete builder."""

from __future__ import annotations

from dsl import ast
from dsl.builder.literals import Children, as_node, only
from dsl.builder.rules import Rules


class Build(Rules):
    """Builds the nodes of one text at a time."""

    def event(self, c: Children) -> ast.Node:
        return ast.EventDeclaration(
            self._span(c),
            self._name(c[1]),
            self._optional_name(c[3]),
            self._optional_string(c[4]),
            only(ast.FieldDeclaration, c),
            only(ast.SourceOption, c),
        )

    def table(self, c: Children) -> ast.Node:
        fields, sources = only(ast.FieldDeclaration, c), only(ast.SourceOption, c)
        return ast.TableDeclaration(self._span(c), self._name(c[1]), fields, sources)

    def list_(self, c: Children) -> ast.Node:
        sources = only(ast.SourceOption, c)
        return ast.ListDeclaration(self._span(c), self._name(c[1]), c[3], c[5], sources)

    def feature(self, c: Children) -> ast.Node:
        return ast.FeatureDeclaration(self._span(c), self._name(c[1]), c[3], c[5], c[6])

    def filter_(self, c: Children) -> ast.Node:
        return ast.FilterDeclaration(self._span(c), self._name(c[1]), c[3])

    def def_(self, c: Children) -> ast.Node:
        return ast.DefDeclaration(self._span(c), self._name(c[1]), c[3] or (), c[6])

    def field(self, c: Children) -> ast.Node:
        attributes = only(ast.Attribute, c)
        return ast.FieldDeclaration(self._span(c[:3] + list(attributes)), c[0], c[2], attributes)

    def type(self, c: Children) -> ast.Node:
        if c[1] is None:
            return as_node(c[0])
        span, given = self._span(c), c[0]
        if isinstance(given, ast.NamedType):
            return ast.NamedType(span, given.name, given.argument, True)
        if isinstance(given, ast.EnumType):
            return ast.EnumType(span, given.values, True)
        if isinstance(given, ast.ListType):
            return ast.ListType(span, given.item, True)
        return ast.RecordType(span, given.fields, True)

    def type_name(self, c: Children) -> ast.Node:
        argument = None if c[2] is None else self._integer(c[2])
        return ast.NamedType(self._span(c), self._name(c[0]), argument)

    def type_enum(self, c: Children) -> ast.Node:
        return ast.EnumType(self._span(c), self._strings(c))

    def type_list(self, c: Children) -> ast.Node:
        return ast.ListType(self._span(c), c[1])

    def type_record(self, c: Children) -> ast.Node:
        return ast.RecordType(self._span(c), only(ast.FieldDeclaration, c))

    def attribute(self, c: Children) -> ast.Node:
        return ast.Attribute(self._span(c), self._name(c[1]), c[3] or ())

    def from_(self, c: Children) -> ast.Node:
        address = self._optional_string(c[2])
        return ast.SourceOption(self._span(c), "from", self._name(c[1]), address)

    def lateness(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "lateness", None, self._duration(c[1]))

    def idle(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "idle", None, self._duration(c[1]))

    def time_from(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "time", self._name(c[1]), None)

    def test(self, c: Children) -> ast.Node:
        steps = tuple(x for x in c if isinstance(x, ast.TestStep))
        return ast.TestDeclaration(
            self._span(c), self._name(c[1]), self._optional_string(c[2]), steps
        )

    def test_event(self, c: Children) -> ast.Node:
        return ast.TestEvent(self._span(c), self._duration(c[1]), self._name(c[2]), c[3])

    def test_advance(self, c: Children) -> ast.Node:
        return ast.TestAdvance(self._span(c), self._duration(c[1]))

    def test_expect(self, c: Children) -> ast.Node:
        at, count = self._optional_duration(c[2]), self._integer(c[3])
        return ast.TestExpect(self._span(c), at, count, c[5], c[7])

    def test_none(self, c: Children) -> ast.Node:
        return ast.TestExpect(self._span(c), None, 0, None, None)

    def test_given(self, c: Children) -> ast.Node:
        return ast.TestGiven(self._span(c), self._name(c[1]), c[3])
