"""Rules and their clauses to nodes."""

from __future__ import annotations

from typing import Any

from dsl import ast
from dsl.builder.literals import Children, only
from dsl.builder.patterns import Patterns
from dsl.lalr import Token


class Rules(Patterns):
    """One method per rule of the grammar's section on rules."""

    def template(self, c: Children) -> ast.Node:
        parameters = only(ast.Parameter, c)
        return ast.TemplateDeclaration(self._span(c), self._name(c[1]), parameters, c[-1][1:-1])

    def parameter(self, c: Children) -> ast.Node:
        return ast.Parameter(self._span(c), self._name(c[0]), c[2], c[4])

    def rule(self, c: Children) -> ast.Node:
        title = self._optional_string(c[2])
        return ast.RuleDeclaration(self._span(c), self._name(c[1]), title, c[3][1:-1])

    def rule_instance(self, c: Children) -> ast.Node:
        return ast.RuleInstance(self._span(c), self._name(c[1]), self._name(c[3]), c[5] or ())

    def body(self, c: Children) -> tuple[Any, ...]:
        """The braces stay in, so that the rule's place reaches to the closing one."""
        return tuple(child for child in c if child is not None)

    def severity(self, c: Children) -> ast.Node:
        return ast.Severity(self._span(c), self._name(c[1]))

    def tags(self, c: Children) -> ast.Node:
        return ast.Tags(self._span(c), self._strings(c))

    def doc(self, c: Children) -> ast.Node:
        return ast.Doc(self._span(c), self._string(c[1]))

    def priority(self, c: Children) -> ast.Node:
        return ast.Priority(self._span(c), *self._integer_or_name(c[1]))

    def by(self, c: Children) -> ast.Node:
        return ast.By(self._span(c), only(ast.KeyPart, c))

    def key_part(self, c: Children) -> ast.Node:
        table, name = self._optional_name(c[2]), self._optional_name(c[4])
        return ast.KeyPart(self._span(c), c[0], table, name)

    def over(self, c: Children) -> ast.Node:
        return ast.Over(self._span(c), only(ast.Core, c), c[-1])

    def match(self, c: Children) -> ast.Node:
        return ast.Match(self._span(c), c[1])

    def within(self, c: Children) -> ast.Node:
        limit = self._duration(c[1]) if c[1].type in {"DURATION", "NAME"} else None
        return ast.Within(self._span(c), limit, c[2] is not None)

    def where(self, c: Children) -> ast.Node:
        return ast.Where(self._span(c), c[1])

    def when(self, c: Children) -> ast.Node:
        return ast.When(self._span(c), c[1])

    def cancel(self, c: Children) -> ast.Node:
        return ast.Cancel(self._span(c), c[2])

    def after_match(self, c: Children) -> ast.Node:
        after: ast.AfterMatch = c[2]
        return ast.AfterMatch(self._span(c), after.skip, after.target)

    def skip_past_last(self, c: Children) -> ast.Node:
        return ast.AfterMatch(self._span(c), "past last", None)

    def skip_to_next(self, c: Children) -> ast.Node:
        return ast.AfterMatch(self._span(c), "to next", None)

    def skip_to_first(self, c: Children) -> ast.Node:
        return ast.AfterMatch(self._span(c), "to first", self._name(c[3]))

    def skip_to_last(self, c: Children) -> ast.Node:
        return ast.AfterMatch(self._span(c), "to last", self._name(c[3]))

    def no_skip(self, c: Children) -> ast.Node:
        return ast.AfterMatch(self._span(c), "no skip", None)

    def fire(self, c: Children) -> ast.Node:
        return ast.Choose(self._span(c), "fire", self._name(c[1]))

    def runs(self, c: Children) -> ast.Node:
        return ast.Choose(self._span(c), "runs", self._name(c[1]))

    def matches(self, c: Children) -> ast.Node:
        return ast.Choose(self._span(c), "matches", self._name(c[1]))

    def limit(self, c: Children) -> ast.Node:
        return ast.Limit(self._span(c), *self._integer_or_name(c[1]))

    def suppress(self, c: Children) -> ast.Node:
        return ast.Suppress(self._span(c), c[2], self._duration(c[4]))

    def resolve_on(self, c: Children) -> ast.Node:
        return ast.ResolveOn(self._span(c), c[2])

    def resolve_when(self, c: Children) -> ast.Node:
        return ast.ResolveWhen(self._span(c), c[2])

    def alert(self, c: Children) -> ast.Node:
        return ast.Alert(self._span(c), self._string(c[1]), c[2])

    def emit(self, c: Children) -> ast.Node:
        return ast.Emit(self._span(c), self._name(c[1]), c[2])

    def notify(self, c: Children) -> ast.Node:
        return ast.Notify(self._span(c), self._strings(c))

    def window(self, c: Children) -> ast.Node:
        size, every = self._measure(c[2]), self._measure(c[4])
        cap = self._optional_duration(c[6])
        return ast.Window(self._span(c), self._name(c[1]), size, every, cap)

    def _measure(self, token: Token | None) -> ast.Duration | ast.Number | None:
        if token is None:
            return None
        return self._number(token) if token.type == "INT" else self._duration(token)
