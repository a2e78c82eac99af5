"""Which names an expression may use, and what a dotted name stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dsl import ast
from dsl.check.context import Context, Feature
from dsl.model import EventType, Expr, Field, FieldRef, Key, KeyRef, Kind, Path, Type
from dsl.source import Span


@dataclass(frozen=True, slots=True)
class StepName:
    """A bound step as expressions see it; `optional` when a match may lack it."""

    index: int
    event: EventType
    repeated: bool
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """`own` is the event being tested; `later` says why a known step may not be used here.

    `sole` is the only step of the pattern, bound exactly once: its fields need no alias.  With
    `each`, `own` is each event of a step in turn, inside of an aggregate: its fields do need one.
    `window` has the event types of a window's sources, of which there is at least one event when
    the window is `full`.
    """

    own: EventType | None = None
    own_labels: frozenset[str] = frozenset()
    own_step: StepName | None = None
    steps: Mapping[str, StepName] = field(default_factory=dict)
    later: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    sole: StepName | None = None
    each: bool = False
    window: tuple[EventType, ...] = ()
    full: bool = True

    def names(self) -> Iterable[str]:
        """Everything that can stand alone or in front of a dot, for `did you mean`."""
        yield from (key.name for key in self.keys)
        yield from self.own_labels
        yield from self.steps
        event = self.own or (self.sole.event if self.sole else None)
        yield from (f.name for f in (event.fields if event and not self.each else ()))
        yield from (f.name for source in self.window for f in source.fields)

    def key(self, dotted: str) -> int | None:
        return next((i for i, key in enumerate(self.keys) if key.name == dotted), None)


def chain(node: ast.Expression) -> tuple[ast.Variable, tuple[ast.Name, ...]] | None:
    """`a.b.c` as its head and the names behind it; None when it is something else."""
    names: list[ast.Name] = []
    while isinstance(node, ast.AttributeOf):
        names.append(node.name)
        node = node.base
    return (node, tuple(reversed(names))) if isinstance(node, ast.Variable) else None


def find_field(fields: tuple[Field, ...], name: str) -> Field | None:
    for field_ in fields:
        if field_.name == name:
            return field_
    return None


def field_path(
    context: Context, event: EventType, names: tuple[ast.Name, ...]
) -> tuple[Path, Type] | None:
    """The path and type of a field of `event`, or None after reporting why there is none."""
    fields, where, maybe_null = event.fields, f"`{event.name}`", False
    type_: Type | None = None
    for name in names:
        if type_ is not None and type_.kind is not Kind.RECORD:
            message = f"{where} is no record and has no field `{name.text}`"
            context.report("E011", message, name.span)
            return None
        found = find_field(fields, name.text)
        if found is None:
            message = f"{where} has no field `{name.text}`"
            context.unknown("E011", message, name, [f.name for f in fields])
            return None
        type_, fields, where = found.type, found.type.fields, f"`{name.text}`"
        maybe_null = maybe_null or type_.optional
    assert type_ is not None, "a path has at least one name"
    if type_.optional is not maybe_null:
        type_ = replace(type_, optional=maybe_null)
    return tuple([name.text for name in names]), type_


def resolve(context: Context, scope: Scope, node: ast.Expression) -> Expr | None:
    """A dotted name to a field, key part or bound step's field; None after reporting.

    Records come back as a FieldRef of kind `record`: only `exists` and `is null` take them.
    """
    parts = chain(node)
    if parts is None:
        context.report("E013", "only names can stand in front of a `.`", node.span)
        return None
    head, names = parts
    if names and head.name in scope.own_labels and scope.own is not None:
        if scope.own_step is not None and scope.own_step.repeated:
            _repeated(context, head, names)
            return None
        return _own(context, scope.own, None, names, node.span)
    if names and head.name in scope.steps:
        step = scope.steps[head.name]
        if step.repeated:
            _repeated(context, head, names)
            return None
        found = _own(context, step.event, step.index, names, node.span)
        if isinstance(found, FieldRef) and step.optional:
            return replace(found, type=replace(found.type, optional=True))
        return found
    if names and head.name in scope.later:
        context.report("E031", scope.later[head.name], node.span)
        return None
    return _bare(context, scope, head, names, node.span)


def _repeated(context: Context, head: ast.Variable, names: tuple[ast.Name, ...]) -> None:
    dotted = ".".join(name.text for name in names)
    message = f"`{head.name}` is repeated, so `{head.name}.{dotted}` is not one value"
    hint = f"write `first({head.name}).{dotted}` or `last({head.name}).{dotted}`, or an aggregate"
    context.report("E030", message, head.span, hint)


def _own(
    context: Context,
    event: EventType,
    step: int | None,
    names: tuple[ast.Name, ...],
    span: Span,
) -> Expr | None:
    if len(names) == 1 and find_field(event.fields, names[0].text) is None:
        feature = context.features.get(names[0].text)
        if feature is not None:
            return _feature(context, feature, event, step, span)
    found = field_path(context, event, names)
    return None if found is None else FieldRef(found[1], step, found[0], span)


def _feature(
    context: Context, feature: Feature, event: EventType, step: int | None, span: Span
) -> Expr | None:
    """A feature as a derived field of an event, which must carry its key."""
    reads = []
    for name, type_ in feature.keys:
        carried = find_field(event.fields, name)
        if carried is None or carried.type.kind != type_.kind:
            what = f"no field `{name}`" if carried is None else f"another kind of `{name}`"
            message = f"feature `{feature.name}` is by `{name}`, and `{event.name}` has {what}"
            context.report("E050", message, span)
            return None
        reads.append(FieldRef(carried.type, None, (name,), span))
    derived = replace(feature.derived, reads=tuple(reads))
    keyless = any(read.type.optional for read in reads)  # without a key there is no fact
    type_ = replace(feature.type, optional=feature.type.optional or keyless)
    return FieldRef(type_, step, (feature.name,), span, derived)


def _bare(
    context: Context,
    scope: Scope,
    head: ast.Variable,
    names: tuple[ast.Name, ...],
    span: Span,
) -> Expr | None:
    """A name without an alias: a field of the event, a part of the key, or a mistake."""
    first = ast.Name(head.span, head.name)
    own = None if scope.each else scope.own
    if own is not None and find_field(own.fields, head.name) is not None:
        return _own(context, own, None, (first, *names), span)
    known = not names and head.name in context.features
    if own is not None and known:
        return _own(context, own, None, (first,), span)
    index = scope.key(".".join((head.name, *(name.text for name in names))))
    if index is not None:
        return KeyRef(scope.keys[index].type, index, span)
    sole = scope.sole
    if sole is not None and (known or find_field(sole.event.fields, head.name) is not None):
        return _own(context, sole.event, sole.index, (first, *names), span)
    if head.name in scope.steps or head.name in scope.own_labels:
        message = f"`{head.name}` is an event, not a value"
        context.report("E024", message, head.span, f"name one of its fields: `{head.name}.…`")
    elif head.name in scope.later:
        context.report("E031", scope.later[head.name], head.span)
    elif any(find_field(event.fields, head.name) for event in scope.window):
        dotted = ".".join((head.name, *(name.text for name in names)))
        message = f"`{dotted}` has a value in each event of the window"
        context.report("E030", message, span, f"write `last({dotted})`, or another aggregate")
    elif known:
        message = f"`{head.name}` belongs to one event, and none is meant here"
        context.report("E030", message, span, "use it in the condition of an event")
    elif own is not None:
        message = f"`{own.name}` has no field `{head.name}`"
        context.unknown("E011", message, first, [*scope.names(), *context.features])
    else:
        context.unknown("E013", f"unknown name `{head.name}`", first, scope.names())
    return None
