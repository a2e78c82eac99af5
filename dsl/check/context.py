"""What the checking passes share: declarations by name, the rules in the making, diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dsl import ast, limits, model
from dsl.diagnostics import Diagnostic, did_you_mean
from dsl.source import Source, Span


class TooMany(Exception):
    """As many diagnostics as anybody reads at once; the rest is checked after they are fixed."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A named filter with the filters below it inlined."""

    event: str
    condition: model.Expr | None


@dataclass(frozen=True, slots=True)
class Feature:
    """A checked feature: `derived` lacks only the reading side; `keys` are (field, type)."""

    name: str
    type: model.Type
    keys: tuple[tuple[str, model.Type], ...]
    derived: model.Derived


@dataclass(frozen=True, slots=True)
class Instance:
    """A rule made from a template, and the values of its parameters."""

    name: ast.Name
    template: ast.TemplateDeclaration
    values: Mapping[str, ast.Expression]


@dataclass(slots=True)
class StepDraft:
    """A step on its way to `model.Step`; `before` holds the steps that may be bound by then."""

    index: int
    alias: ast.Name | None
    core: ast.Core
    event: model.EventType
    named: model.Expr | None
    absent: bool
    repeated: bool
    optional: bool
    before: frozenset[int]
    span: Span
    condition: model.Expr | None = None
    key: tuple[model.Path, ...] = ()

    @property
    def label(self) -> str:
        return self.alias.text if self.alias is not None else self.core.name.text


@dataclass(slots=True)
class RuleDraft:
    """A rule in the making; passes fill it in, and set `broken` when they cannot."""

    declaration: ast.RuleDeclaration
    broken: bool = False
    made_by: ast.RuleInstance | None = None
    instance: Instance | None = None
    severity: str = "medium"
    tags: tuple[str, ...] = ()
    doc: str | None = None
    priority: int = 0
    by: ast.By | None = None
    over: ast.Over | None = None
    match: ast.Match | None = None
    within: ast.Within | None = None
    step_within: ast.Within | None = None
    where_clause: ast.Where | None = None
    suppress_clause: ast.Suppress | None = None
    when: ast.When | None = None
    alert: ast.Alert | None = None
    notify: tuple[str, ...] = ()
    after_match: ast.AfterMatch | None = None
    choices: dict[str, ast.Choose] = field(default_factory=dict)
    limit: ast.Limit | None = None
    cancel_clauses: list[ast.Cancel] = field(default_factory=list)
    resolve_clauses: list[ast.ResolveOn] = field(default_factory=list)
    resolve_when: ast.ResolveWhen | None = None
    notify_clause: ast.Notify | None = None
    emit_clauses: list[ast.Emit] = field(default_factory=list)
    emits: tuple[model.Emit, ...] = ()
    skip: model.Skip = model.Skip.PAST_LAST
    steps: list[StepDraft] = field(default_factory=list)
    beside: list[frozenset[int]] = field(default_factory=list)  # steps taken in any order
    pattern: model.Pattern | None = None
    keys: tuple[model.Key, ...] = ()
    key_table: str | None = None
    alphabet: list[model.Symbol] = field(default_factory=list)
    cancel: tuple[model.Symbol, ...] = ()
    resolve: tuple[model.Symbol, ...] = ()
    policy: model.Policy = field(default_factory=model.Policy)
    where: model.Expr | None = None
    suppress: model.Suppress | None = None
    shape: model.WindowShape | None = None
    window: model.Window | None = None
    ends_when: model.Expr | None = None
    message: model.Template = field(default_factory=lambda: model.Template(()))
    attributes: tuple[tuple[str, model.Expr | model.Template], ...] = ()

    @property
    def name(self) -> str:
        return self.declaration.name.text

    @property
    def within_ms(self) -> int | None:
        return self.within.limit.ms if self.within and self.within.limit else None

    @property
    def step_within_ms(self) -> int | None:
        return self.step_within.limit.ms if self.step_within and self.step_within.limit else None

    def are_beside(self, first: StepDraft, second: StepDraft) -> bool:
        """Whether two steps are taken in any order, so that neither knows of the other."""
        return any(first.index in steps and second.index in steps for steps in self.beside)


@dataclass(slots=True)
class Context:
    files: tuple[ast.File, ...]
    sources: Mapping[str, Source]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    events: dict[str, model.EventType] = field(default_factory=dict)
    tables: dict[str, model.Table] = field(default_factory=dict)
    lists: dict[str, model.Table] = field(default_factory=dict)
    filters: dict[str, Filter] = field(default_factory=dict)
    filter_declarations: dict[str, ast.FilterDeclaration] = field(default_factory=dict)
    features: dict[str, Feature] = field(default_factory=dict)
    feature_declarations: list[ast.FeatureDeclaration] = field(default_factory=list)
    templates: dict[str, ast.TemplateDeclaration] = field(default_factory=dict)
    rules: dict[str, RuleDraft] = field(default_factory=dict)
    trials: list[RuleDraft] = field(default_factory=list)
    """Rules that nobody wrote: templates with their defaults, checked and let go."""
    instance: Instance | None = None
    """The instance of a template that is being checked."""
    emitted: set[str] = field(default_factory=set)
    """Event types that some rule emits: they need no field of event time."""
    told_of_instances: set[tuple[str, str, Span]] = field(default_factory=set)
    test_declarations: list[ast.TestDeclaration] = field(default_factory=list)
    tests: list[model.InlineTest] = field(default_factory=list)
    defs: dict[str, ast.DefDeclaration] = field(default_factory=dict)
    data_names: set[str] = field(default_factory=set)
    """Tables and lists, which a `def` may name."""
    expanded: int = 0
    """Parts of expressions that uses of definitions have come to so far."""
    expansions_max: int = field(init=False)
    """What `expanded` may become: more for more text."""
    expanding_from: int | None = None
    """What `expanded` was when the use began that is being put in its place."""
    depth: int = 0
    """Expressions being checked, one inside the other."""
    broken_names: set[str] = field(default_factory=set)
    """Declared, but wrong in a way already reported: using them reports nothing more."""

    def __post_init__(self) -> None:
        chars = sum(len(source.text) for source in self.sources.values())
        written = chars // limits.EXPANSION_CHARS_PER_NODE_MIN
        self.expansions_max = limits.EXPANSIONS_FREE_NODES + written

    def report(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.keep(Diagnostic(code, message, span, hint))

    def check_time(self, event: model.EventType, name: ast.Name, what: str) -> bool:
        """Whether events of this type have a time; what they have no `what` without."""
        timed = event.time_field is not None or event.name in self.emitted
        if not timed:
            message = f"event `{event.name}` has no `@time` field, so it has no {what}"
            hint = "mark a timestamp with `@time`; only emitted events need none"
            self.report("E064", message, name.span, hint)
        return timed

    @contextmanager
    def checking(self, instance: Instance | None) -> Iterator[None]:
        """Meanwhile, diagnostics are about this instance of a template, if it is one."""
        before, self.instance = self.instance, instance
        yield
        self.instance = before

    def keep(self, diagnostic: Diagnostic) -> None:
        """Keeps a diagnostic; raises TooMany when there are errors enough."""
        if self.instance is not None:
            told = (diagnostic.code, diagnostic.message, diagnostic.span)
            if told in self.told_of_instances:
                return
            self.told_of_instances.add(told)
            message = f"{diagnostic.message}{self._other_place(diagnostic.span, self.instance)}"
            diagnostic = replace(diagnostic, message=message)
        kept = sum(other.severity == diagnostic.severity for other in self.diagnostics)
        if kept < limits.DIAGNOSTICS_MAX:
            self.diagnostics.append(diagnostic)
        elif diagnostic.severity == "error":
            raise TooMany

    def _other_place(self, span: Span, instance: Instance) -> str:
        """For what is wrong in a template, the instance; and the other way round."""
        template = instance.template
        whole = template.span
        if instance.name is template.name:  # nobody made a rule of it
            return ""
        if span.path == whole.path and whole.start <= span.start < whole.end:
            return f"; in rule `{instance.name.text}`, made at {self.place(instance.name.span)}"
        return f"; template `{template.name.text}` is at {self.place(template.name.span)}"

    def place(self, span: Span) -> str:
        """`path:line` of a place, to point from one diagnostic at another place."""
        return f"{span.path}:{self.sources[span.path].line_column(span.start)[0]}"

    def unknown(self, code: str, message: str, name: ast.Name, known: Iterable[str]) -> None:
        """Reports an unknown name with the closest known one, or with all of a short list."""
        names = list(dict.fromkeys(known))
        hint = did_you_mean(name.text, names)
        if hint is None and 0 < len(names) <= 12:
            hint = f"known: {', '.join(f'`{n}`' for n in names)}"
        self.report(code, message, name.span, hint)
