"""The typed model: what a checked rule file means, with every name resolved and every type known.

`dsl.check` produces it; the reference matcher, the fast matcher and message rendering all read the
same objects, so no later stage guesses a type or resolves a name.  Everything here is immutable,
and places in the source take no part in equality: two conditions that say the same are equal.

Scalar values have one representation everywhere (null is `None` in Python, a sentinel in columns):
bool → bool, int → int, float → float, decimal → int scaled by `Type.scale`, string, enum and ip →
str (ip in canonical form), timestamp → int ms since the epoch (UTC), duration → int ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from dsl.source import Span


class Kind(StrEnum):
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    IP = "ip"
    CIDR = "cidr"  # a network: only the item of a list or the key of a table
    ENUM = "enum"
    LIST = "list"
    RECORD = "record"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Type:
    """A type; `scale` is of decimals, `values` of enums, `item` of lists, `fields` of records."""

    kind: Kind
    optional: bool = False
    scale: int = 0
    values: tuple[str, ...] = ()
    item: Type | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """`name` is what rules write, `source` the path of the value in the JSON event."""

    name: str
    type: Type
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventType:
    """One declared event; `discriminator` is the value of the envelope field `type`."""

    name: str
    discriminator: str
    fields: tuple[Field, ...]
    time_field: str | None
    id_field: str | None
    lateness_ms: int
    idle_ms: int | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where the rows of a table come from: `kind` is `file` or `redis`."""

    kind: str
    address: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Reference data: rows of `fields`, of which those named in `key` tell one row from another.

    A list is a table of one field, `value`, which is its key; `values` are those written in the
    rule file, as JSON.  Without a source the rows come from the API, or from a test.
    """

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    source: DataSource | None
    span: Span = field(compare=False)
    values: tuple[object, ...] | None = None

    def field(self, name: str) -> Field:
        """The field of this name, which the table must have."""
        return next(field for field in self.fields if field.name == name)


# ---------------------------------------------------------------------------------- expressions

Path: TypeAlias = tuple[str, ...]  # field names as written: ("geo", "lat")


@dataclass(frozen=True, slots=True)
class Const:
    """A literal; a list literal is a tuple of scalar values and has a list type."""

    type: Type
    value: object
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field of an event: of the event being tested (`step is None`) or of a bound step.

    A field with `derived` is not in the event: it is computed from earlier ones, and `path` only
    tells derived fields apart.
    """

    type: Type
    step: int | None
    path: Path
    span: Span = field(compare=False)
    derived: Derived | None = None


WINDOW = -1
"""The `step` of an aggregate over every event of the rule's window, whatever its source."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`function` over every event bound to `step` so far, the candidate included when `own`.

    `dsl.operators.AGGREGATES` lists the functions.  Of each event the field at `path` is taken, or
    `value`, an expression on that event (its fields have `step is None`); a `count` with neither
    counts events.  `list` stands for a repeated alias's field used as a list (`ip in fail.ip`).
    `parameter` is the index of `nth`, the share of `quantile`, the number of `top`.  The float type
    of an `avg` of decimals carries their scale.  `step` may be `WINDOW`.
    """

    type: Type
    function: str
    step: int
    path: Path | None
    own: bool
    span: Span = field(compare=False)
    value: Expr | None = None
    parameter: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRef:
    """Part `index` of the rule's key."""

    type: Type
    index: int
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function; `dsl.operators` lists each `op` with its meaning.

    The checker inserts `to_float` and `rescale`, so both sides of an arithmetic or comparison
    operator always have the same kind (and scale).
    """

    type: Type
    op: str
    args: tuple[Expr, ...]
    span: Span = field(compare=False)


Expr: TypeAlias = Const | FieldRef | Aggregate | KeyRef | Call


# ---------------------------------------------------------------------------------- windows


class WindowKind(StrEnum):
    TUMBLING = "tumbling"
    HOPPING = "hopping"
    SLIDING = "sliding"
    SESSION = "session"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class WindowShape:
    """Which events of one key are in a window together; all spans are in ms of event time.

    tumbling: [start, start + size_ms), starts are multiples of size_ms since the epoch.
    hopping: the same, starts are multiples of `every`.
    sliding: at an event of time t, those of (t - size_ms, t] up to that event.
    session: each event at most size_ms after the one before, and, with cap_ms, at most cap_ms
    after the first.
    count: the last `count` events of (t - cap_ms, t]; `every` counts events.
    """

    kind: WindowKind
    size_ms: int = 0
    count: int = 0
    every: int = 0
    cap_ms: int | None = None


class WindowFire(StrEnum):
    EDGE = "edge"
    EACH = "each"
    CLOSE = "close"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class Window:
    """`over … window … when …`: the rule's steps are the sources, and nothing else is bound.

    `when` reads aggregates of step `WINDOW` and the key.
    """

    shape: WindowShape
    when: Expr
    fire: WindowFire


@dataclass(frozen=True, slots=True)
class Derived:
    """What a derived field is computed from: events before the one that has the field.

    `aggregate` (of step `WINDOW`; None: whether there is none) is over the events of type `event`
    that satisfy `condition`, inside a sliding or count window that ends before the reading event.
    Both sides agree on a key: `key` is over the fields of `event`, `reads` over those of the
    reading event.
    """

    aggregate: Aggregate | None
    event: str
    condition: Expr | None
    key: tuple[Expr, ...]
    reads: tuple[Expr, ...]
    shape: WindowShape


# ---------------------------------------------------------------------------------- patterns


@dataclass(frozen=True, slots=True)
class Step:
    """One place of the pattern where an event can be bound, or, if `absent`, must not appear.

    `condition` has named filters inlined; `key` holds, for each part of the rule's key, the path of
    the field of *this* event type that carries it.
    """

    index: int
    alias: str | None
    event: str
    condition: Expr | None
    key: tuple[Path, ...]
    absent: bool
    repeated: bool
    span: Span = field(compare=False)

    @property
    def label(self) -> str:
        return self.alias or self.event


class Contiguity(StrEnum):
    NEXT = "->"
    STRICT = "=>"
    ANY = "->>"


@dataclass(frozen=True, slots=True)
class Arrow:
    """How far the next event may be: gaps are inclusive and in ms of event time."""

    contiguity: Contiguity = Contiguity.NEXT
    min_gap_ms: int | None = None
    max_gap_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    step: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """`node` at least `least` and at most `most` times (None: no upper bound).

    `arrow` leads from one round to the next; an event that fits a step in `until` ends the loop.
    A possessive loop never gives back: an event that can go on in it is not offered to its exit.
    """

    node: Pattern
    least: int
    most: int | None
    greedy: bool
    arrow: Arrow = Arrow()
    until: tuple[int, ...] = ()
    possessive: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """`arrow`, then nothing that fits `absent` until `to` begins.

    With `absent_for_ms` the absence holds for so long after the last bound event, and `to` begins
    later than that.  Trailing absence has `to is None`: it holds when no event fits `absent` until
    `absent_for_ms` after the last bound event (None: until the rule's `within` ends); when its
    arrow is strict, the very next event decides.
    """

    arrow: Arrow
    absent: tuple[int, ...]
    to: Pattern | None
    absent_for_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    first: Pattern
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives in order of preference."""

    options: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class AnyOrder:
    """`count` of the `parts`, each once, their events in any order, interleaved as they come.

    A part is a `Bind`, a `Choice` of such, or, when all parts are needed, a `Repeat` of either.
    `arrow` leads from one event to the next; an event that fits a step in `absent` ends it.
    """

    parts: tuple[Pattern, ...]
    count: int
    arrow: Arrow = Arrow()
    absent: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """No event of the key that fits `absent` for longer than `for_ms`; binds nothing.

    Counted from the last such event, or from the first event of the alphabet seen for the key.
    Only as a rule's whole pattern, or as the first part of its outermost sequence.
    """

    absent: tuple[int, ...]
    for_ms: int


Pattern: TypeAlias = Bind | Repeat | Sequence | Choice | AnyOrder | Silence


def leading_silence(pattern: Pattern) -> tuple[Silence | None, Pattern | None]:
    """The silence that `pattern` begins with, and the rest; None when there is no such part."""
    if isinstance(pattern, Silence):
        return pattern, None
    if isinstance(pattern, Sequence) and isinstance(pattern.first, Silence):
        first, *links = pattern.links
        assert first.to is not None, "the checker asks for an event"
        return pattern.first, Sequence(first.to, tuple(links)) if links else first.to
    return None, pattern


# ---------------------------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True)
class Symbol:
    """A member of the alphabet: events of this type that satisfy `condition` (None: all)."""

    event: str
    condition: Expr | None
    key: tuple[Path, ...]


class Skip(StrEnum):
    """Which partial matches of the key a match ends: those that began no later than …"""

    PAST_LAST = "past last"  # … its last event (or its deadline)
    FIRST = "to first"  # … just before the first event of `Policy.skip_to`
    LAST = "to last"  # … just before the last event of `Policy.skip_to`
    NONE = "none"  # no others


class Runs(StrEnum):
    """What an event that begins a match does while partial matches of its key are pending."""

    ALL = "all"
    LATEST = "latest"
    FIRST = "first"


class Fire(StrEnum):
    """When a start is reported: at its first completion, at each, once per key, or when final."""

    FIRST = "first"
    EACH = "each"
    ONCE = "once"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which runs of a key start, survive and are reported; the defaults are those of the language.

    `every` is `matches all`.  `skip_to` is the step that `Skip.FIRST` and `Skip.LAST` look for.
    `runs_max` bounds the partial matches of a key (None: the matcher's own bound).  Events of
    `cancel` end the partial matches of their key; those of `resolve` say that what was detected for
    the key is over.  Neither is part of the alphabet.
    """

    every: bool = False
    runs: Runs = Runs.ALL
    fire: Fire = Fire.FIRST
    skip_to: int | None = None
    runs_max: int | None = None
    cancel: tuple[Symbol, ...] = ()
    resolve: tuple[Symbol, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Suppress:
    """Detections that agree on `by` within `for_ms` of one that was not suppressed are hidden."""

    by: tuple[Expr, ...]
    for_ms: int


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{expr:spec}` in a template; `text` is the expression as written."""

    expr: Expr
    spec: str
    text: str


@dataclass(frozen=True, slots=True)
class Template:
    parts: tuple[str | Placeholder, ...]


@dataclass(frozen=True, slots=True)
class Emit:
    """A derived event of type `event` for every match; a field without a value is null.

    `values` are over the key and the bound events, by the path of the field in the derived event,
    each of exactly that field's kind and scale.  Its event time is the match's.
    """

    event: str
    values: tuple[tuple[Path, Expr], ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule: of a pattern, or of a window.

    With a `window`, `steps` are its sources and `pattern` says only that they repeat; what was
    detected for a key is over when `resolve_when`, over the window as `Window.when` is, is true.
    Nobody is told of the matches of a rule without `alerts`: it only emits.
    With a `key_table`, the table or list of that name, the keys are those of its rows.
    With a `key_table`, a table or list of that name, its keys are those of the rows there are.
    `version` hashes everything that decides what the rule detects and says; `pattern_version` only
    what its partial matches depend on.  Both are 16 hex digits and change with no formatting.
    """

    name: str
    title: str | None
    severity: str
    tags: tuple[str, ...]
    doc: str | None
    keys: tuple[Key, ...]
    alphabet: tuple[Symbol, ...]
    steps: tuple[Step, ...]
    pattern: Pattern
    within_ms: int | None
    where: Expr | None
    skip: Skip
    suppress: Suppress | None
    message: Template
    attributes: tuple[tuple[str, Expr | Template], ...]
    notify: tuple[str, ...]
    version: str
    pattern_version: str
    span: Span = field(compare=False)
    policy: Policy = Policy()
    window: Window | None = None
    resolve_when: Expr | None = None
    priority: int = 0
    emits: tuple[Emit, ...] = ()
    alerts: bool = True
    key_table: str | None = None


# ---------------------------------------------------------------------------------- inline tests


@dataclass(frozen=True, slots=True)
class TestEvent:
    at_ms: int
    event: str
    value: dict[str, object]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class TestAdvance:
    by_ms: int
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class TestExpect:
    """`count` alerts (at exactly `at_ms` when given) whose fields agree and where `where` holds."""

    at_ms: int | None
    count: int
    fields: dict[str, object]
    where: Expr | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class TestGiven:
    """The rows of a table (JSON objects) or the values of a list that the test begins with."""

    table: str
    rows: tuple[object, ...]
    span: Span = field(compare=False)


TestStep: TypeAlias = TestEvent | TestAdvance | TestExpect | TestGiven


@dataclass(frozen=True, slots=True)
class InlineTest:
    rule: str
    title: str | None
    steps: tuple[TestStep, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything declared by a set of files that compile together."""

    events: dict[str, EventType]
    rules: tuple[Rule, ...]
    tests: tuple[InlineTest, ...]
    tables: dict[str, Table] = field(default_factory=dict)
    lists: dict[str, Table] = field(default_factory=dict)
