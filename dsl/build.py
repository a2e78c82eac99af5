"""From what the grammar recognised to syntax tree nodes: one method per grammar rule.

Lark calls these while it parses, so no parse tree is ever built or walked.  Every token is kept,
so a rule's children reach from its first character to its last and give its exact place; a part
in `[…]` that is not there arrives as one None per token.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

from lark import Token, Transformer

from dsl import ast, limits
from dsl.diagnostics import Diagnostic
from dsl.source import Span
from dsl.strings import duration_ms, unescape

Children = list[Any]  # tokens, nodes, tuples of nodes, and None for what is not there
_N = TypeVar("_N")


class Build(Transformer[Token, ast.Node]):
    """Builds the nodes of one text at a time: `begin`, parse, then read `problems`."""

    def __init__(self) -> None:
        super().__init__()
        self.source_path = ""
        self.offset = 0
        self.problems: list[Diagnostic] = []

    def begin(self, path: str, offset: int) -> None:
        """`offset` is where the text to be parsed begins in the file."""
        self.source_path = path
        self.offset = offset
        self.problems = []

    # ---- places, names and literals

    def _span(self, children: Children) -> Span:
        """From the first child that is there to the last one."""
        first: Any = next(filter(None, children))
        last: Any = next(filter(None, reversed(children)))
        while type(first) is tuple:
            first = first[0]
        while type(last) is tuple:
            last = last[-1]
        start = self._token_span(first).start if type(first) is Token else first.span.start
        end = self._token_span(last).end if type(last) is Token else last.span.end
        return Span(self.source_path, start, end)

    def _token_span(self, token: Token) -> Span:
        start = (token.start_pos or 0) + self.offset
        return Span(self.source_path, start, start + len(token))

    def _problem(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, span, hint))

    def _name(self, token: Token) -> ast.Name:
        text = str(token)
        span = self._token_span(token)
        return ast.Name(span, text[1:-1] if text[0] == "`" else text)

    def _optional_name(self, token: Token | None) -> ast.Name | None:
        return None if token is None else self._name(token)

    def _string(self, token: Token) -> ast.String:
        span = self._token_span(token)
        value, bad_escape = unescape(str(token))
        if bad_escape is not None:
            at = Span(self.source_path, span.start + bad_escape, span.start + bad_escape + 2)
            self._problem("E007", "unknown escape in a string", at, "write `\\\\` for a backslash")
        return ast.String(span, value, str(token))

    def _optional_string(self, token: Token | None) -> ast.String | None:
        return None if token is None else self._string(token)

    def _duration(self, token: Token) -> ast.Duration:
        span = self._token_span(token)
        ms = duration_ms(str(token))
        if ms > limits.DURATION_MS_MAX:
            self._problem("E006", "a duration of more than a hundred years", span)
            ms = limits.DURATION_MS_MAX
        return ast.Duration(span, ms, str(token))

    def _optional_duration(self, token: Token | None) -> ast.Duration | None:
        return None if token is None else self._duration(token)

    def _integer(self, token: Token, most: int = limits.INTEGER_MAX) -> int:
        if len(token) > 19 or int(token) > most:
            self._problem("E006", f"a number larger than {most:,}", self._token_span(token))
            return most
        return int(token)

    def _number(self, token: Token) -> ast.Number:
        span = self._token_span(token)
        if token.type == "INT":
            return ast.Number(span, self._integer(token), str(token))
        value = Decimal(str(token)) if len(token) <= 40 else None
        if value is None or not -300 < value.adjusted() < 300:
            self._problem("E006", "a number with too many digits or too large an exponent", span)
            value = Decimal("0.0")
        return ast.Number(span, value, str(token))

    # ---- declarations of data

    def event(self, c: Children) -> ast.Node:
        return ast.EventDeclaration(
            self._span(c),
            self._name(c[1]),
            self._optional_name(c[3]),
            self._optional_string(c[4]),
            _only(ast.FieldDeclaration, c),
            _only(ast.SourceOption, c),
        )

    def table(self, c: Children) -> ast.Node:
        fields, sources = _only(ast.FieldDeclaration, c), _only(ast.SourceOption, c)
        return ast.TableDeclaration(self._span(c), self._name(c[1]), fields, sources)

    def list_(self, c: Children) -> ast.Node:
        sources = _only(ast.SourceOption, c)
        return ast.ListDeclaration(self._span(c), self._name(c[1]), c[3], c[5], sources)

    def feature(self, c: Children) -> ast.Node:
        return ast.FeatureDeclaration(self._span(c), self._name(c[1]), c[3], c[5], c[6])

    def filter_(self, c: Children) -> ast.Node:
        return ast.FilterDeclaration(self._span(c), self._name(c[1]), c[3])

    def def_(self, c: Children) -> ast.Node:
        return ast.DefDeclaration(self._span(c), self._name(c[1]), c[3] or (), c[6])

    def field(self, c: Children) -> ast.Node:
        attributes = _only(ast.Attribute, c)
        return ast.FieldDeclaration(self._span(c[:3] + list(attributes)), c[0], c[2], attributes)

    def type(self, c: Children) -> ast.Node:
        if c[1] is None:
            return _node(c[0])
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
        return ast.RecordType(self._span(c), _only(ast.FieldDeclaration, c))

    def attribute(self, c: Children) -> ast.Node:
        return ast.Attribute(self._span(c), self._name(c[1]), c[3] or ())

    def from_(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "from", self._name(c[1]), self._string(c[2]))

    def lateness(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "lateness", None, self._duration(c[1]))

    def idle(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "idle", None, self._duration(c[1]))

    def time_from(self, c: Children) -> ast.Node:
        return ast.SourceOption(self._span(c), "time", self._name(c[1]), None)

    def _strings(self, c: Children) -> tuple[ast.String, ...]:
        return tuple(self._string(x) for x in c if type(x) is Token and x.type == "STRING")

    # ---- rules and their clauses

    def template(self, c: Children) -> ast.Node:
        parameters = _only(ast.Parameter, c)
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
        return ast.Priority(self._span(c), self._integer(c[1]))

    def by(self, c: Children) -> ast.Node:
        return ast.By(self._span(c), _only(ast.KeyPart, c))

    def key_part(self, c: Children) -> ast.Node:
        table, name = self._optional_name(c[2]), self._optional_name(c[4])
        return ast.KeyPart(self._span(c), c[0], table, name)

    def over(self, c: Children) -> ast.Node:
        return ast.Over(self._span(c), _only(ast.Core, c), c[-1])

    def match(self, c: Children) -> ast.Node:
        return ast.Match(self._span(c), c[1])

    def within(self, c: Children) -> ast.Node:
        limit = self._duration(c[1]) if c[1].type == "DURATION" else None
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
        return ast.Limit(self._span(c), self._integer(c[1]))

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
        assert not isinstance(every, ast.Name)
        cap = self._optional_duration(c[6])
        return ast.Window(self._span(c), self._name(c[1]), size, every, cap)

    def _measure(self, token: Token | None) -> ast.Duration | ast.Number | ast.Name | None:
        if token is None:
            return None
        if token.type == "DURATION":
            return self._duration(token)
        return self._number(token) if token.type == "INT" else self._name(token)

    # ---- patterns

    def pattern(self, c: Children) -> ast.Node:
        pairs = zip(c[1::2], c[2::2], strict=True)
        rest = tuple(ast.Follow(self._span([arrow, p]), arrow, p) for arrow, p in pairs)
        return ast.Sequence(self._span(c), c[0], rest)

    def plain_arrow(self, c: Children) -> ast.Node:
        return ast.Arrow(self._span(c), _sign(str(c[0])), None)

    def gap_arrow(self, c: Children) -> ast.Node:
        return ast.Arrow(self._span(c), _sign(str(c[2])[1:]), c[1])

    def gap_both(self, c: Children) -> ast.Node:
        return ast.Gap(self._span(c), self._duration(c[0]), self._duration(c[2]))

    def gap_most(self, c: Children) -> ast.Node:
        return ast.Gap(self._span(c), None, self._duration(c[1]))

    def gap_least(self, c: Children) -> ast.Node:
        return ast.Gap(self._span(c), self._duration(c[0]), None)

    def alternation(self, c: Children) -> ast.Node:
        return ast.Alternation(self._span(c), tuple(c[::2]))

    def conjunction(self, c: Children) -> ast.Node:
        return ast.Conjunction(self._span(c), tuple(c[::2]))

    def absent(self, c: Children) -> ast.Node:
        return ast.Absent(self._span(c), c[1], self._optional_duration(c[3]))

    def repetition(self, c: Children) -> ast.Node:
        counts, preference, *modifiers = c[1]
        span = self._span([c[0], counts, preference, *modifiers])
        least, most = self._counts(counts)
        word = {None: "greedy", "?": "reluctant", "+": "possessive"}[preference and str(preference)]
        return ast.Repetition(span, c[0], least, most, _preference(word), tuple(modifiers))

    def quantifier(self, c: Children) -> tuple[Any, ...]:
        return tuple(c)

    def _counts(self, token: Token) -> tuple[int, int | None]:
        text = str(token)
        if text in {"?", "*", "+"}:
            return (1 if text == "+" else 0), (1 if text == "?" else None)
        parts = [part.strip() for part in text[1:-1].split(",")]
        numbers = [int(p) if p and len(p) < 10 else limits.REPEAT_MAX + 1 for p in parts if p]
        if max(numbers) > limits.REPEAT_MAX:
            span = self._token_span(token)
            self._problem("E006", f"a count larger than {limits.REPEAT_MAX:,}", span)
            return 1, 1
        if len(parts) == 1:
            return numbers[0], numbers[0]
        return (numbers[0] if parts[0] else 0), (numbers[-1] if parts[1] else None)

    def consecutive(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "consecutive", None)

    def combinations(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "combinations", None)

    def until(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "until", c[1])

    def gap_within(self, c: Children) -> ast.Node:
        return ast.Modifier(self._span(c), "gap", c[1])

    def group(self, c: Children) -> ast.Node:
        return _node(c[1])

    def some_of(self, c: Children) -> ast.Node:
        return ast.SomeOf(self._span(c), self._integer(c[0]), tuple(c[3::2]))

    def step(self, c: Children) -> ast.Node:
        return ast.Step(self._span(c), self._optional_name(c[0]), c[2])

    def core(self, c: Children) -> ast.Node:
        return ast.Core(self._span(c), self._name(c[0]), c[2], c[5])

    def key_of_one(self, c: Children) -> tuple[Any, ...]:
        return (c[0],)

    def key_of_many(self, c: Children) -> tuple[Any, ...]:
        return tuple(c[1::2])

    def path(self, c: Children) -> ast.Node:
        return ast.Path(self._span(c), tuple(str(token) for token in c[::2]))

    def names(self, c: Children) -> tuple[ast.Name, ...]:
        return tuple(self._name(token) for token in c[::2])

    def name(self, c: Children) -> ast.Node:
        return self._name(c[0])

    # ---- expressions

    def conditional(self, c: Children) -> ast.Node:
        return ast.Conditional(self._span(c), c[1], c[3], c[5])

    def or_expr(self, c: Children) -> ast.Node:
        return ast.Logic(self._span(c), "or", tuple(c[::2]))

    def and_expr(self, c: Children) -> ast.Node:
        return ast.Logic(self._span(c), "and", tuple(c[::2]))

    def not_(self, c: Children) -> ast.Node:
        return ast.Unary(self._span(c), "not", c[1])

    def negative(self, c: Children) -> ast.Node:
        return ast.Unary(self._span(c), "-", c[1])

    def exists(self, c: Children) -> ast.Node:
        return ast.Unary(self._span(c), "exists", c[1])

    def binary(self, c: Children) -> ast.Node:
        return ast.Binary(self._span(c), str(c[1]), c[0], c[2])

    def not_in(self, c: Children) -> ast.Node:
        return ast.NotIn(self._span(c), c[0], c[3])

    def is_not(self, c: Children) -> ast.Node:
        return ast.IsNot(self._span(c), c[0], c[3])

    def between(self, c: Children) -> ast.Node:
        return ast.Between(self._span(c), c[0], c[2], c[4])

    def matches_regex(self, c: Children) -> ast.Node:
        pattern, _, flags = str(c[2])[1:].rpartition("/")
        return ast.MatchesRegex(self._span(c), c[0], pattern.replace("\\/", "/"), flags)

    def sum(self, c: Children) -> ast.Node:
        """`a - b - c` is `(a - b) - c`."""
        left = c[0]
        for sign, right in zip(c[1::2], c[2::2], strict=True):
            left = ast.Binary(self._span([left, right]), str(sign), left, right)
        return _node(left)

    product = sum
    coalesce = sum

    def attribute_of(self, c: Children) -> ast.Node:
        return ast.AttributeOf(self._span(c), c[0], c[2], str(c[1]) == "?.")

    def index(self, c: Children) -> ast.Node:
        return ast.Index(self._span(c), c[0], c[2])

    def invoke(self, c: Children) -> ast.Node:
        return ast.Invoke(self._span(c), c[0], c[2] or ())

    def variable(self, c: Children) -> ast.Node:
        name = self._name(c[0])
        return ast.Variable(name.span, name.text)

    def string(self, c: Children) -> ast.Node:
        return self._string(c[0])

    def number(self, c: Children) -> ast.Node:
        return self._number(c[0])

    def duration(self, c: Children) -> ast.Node:
        return self._duration(c[0])

    def true(self, c: Children) -> ast.Node:
        return ast.Boolean(self._span(c), True)

    def false(self, c: Children) -> ast.Node:
        return ast.Boolean(self._span(c), False)

    def null(self, c: Children) -> ast.Node:
        return ast.Null(self._span(c))

    def parenthesis(self, c: Children) -> ast.Node:
        return _node(c[1])

    def array(self, c: Children) -> ast.Node:
        return ast.Array(self._span(c), tuple(x for x in c if isinstance(x, ast.Expression)))

    def arguments(self, c: Children) -> tuple[Any, ...]:
        return tuple(c[::2])

    def argument(self, c: Children) -> ast.Node:
        name = self._name(c[0]) if len(c) == 3 else None
        return ast.Argument(self._span(c), name, c[-1])

    def object(self, c: Children) -> ast.Node:
        return ast.Object(self._span(c), _only(ast.Entry, c))

    def entry(self, c: Children) -> ast.Node:
        return ast.Entry(self._span(c), c[0], c[2])

    # ---- inline tests

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


def _only(kind: type[_N], children: Children) -> tuple[_N, ...]:
    return tuple(child for child in children if isinstance(child, kind))


def _node(child: ast.Node) -> ast.Node:
    return child


def _sign(text: str) -> Any:
    return text


def _preference(word: str) -> Any:
    return word
