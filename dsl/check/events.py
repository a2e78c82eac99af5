"""Pass: event declarations to `model.EventType`."""

from __future__ import annotations

from dsl import ast, limits
from dsl.check.context import Context
from dsl.model import EventType, Field, Kind, Type
from dsl.source import Span

_SIMPLE = {
    kind.value: kind
    for kind in (
        Kind.BOOL,
        Kind.INT,
        Kind.FLOAT,
        Kind.DECIMAL,
        Kind.STRING,
        Kind.TIMESTAMP,
        Kind.DURATION,
        Kind.IP,
    )
}
_ATTRIBUTES = ("time", "id", "path")


def check_events(context: Context) -> None:
    discriminators: dict[str, str] = {}
    for declaration in _parents_first(context):
        name = declaration.name.text
        event = _Event(context, declaration).build()
        if event is None:
            context.broken_names.add(name)
            continue
        context.events[name] = event
        other = discriminators.setdefault(event.discriminator, name)
        if other != name:
            message = f"events `{other}` and `{name}` have the same type value"
            span = (declaration.discriminator or declaration.name).span
            context.report("E014", f"{message} `{event.discriminator}`", span)


def _parents_first(context: Context) -> list[ast.EventDeclaration]:
    """Every event once, behind the one it extends; a circle of them is reported."""
    declared: dict[str, ast.EventDeclaration] = {}
    for file in context.files:
        for declaration in file.declarations:
            if isinstance(declaration, ast.EventDeclaration):
                declared.setdefault(declaration.name.text, declaration)
    ordered: dict[str, ast.EventDeclaration] = {}
    for name in declared:
        chain: dict[str, ast.EventDeclaration] = {}
        while name in declared and name not in ordered and name not in chain:
            chain[name] = declared[name]
            parent = declared[name].parent
            name = parent.text if parent is not None else ""
        if name in chain:
            circle = [*chain][[*chain].index(name) :]
            message = f"event `{name}` extends itself: {' → '.join((*circle, name))}"
            context.report("E018", message, chain[name].name.span)
            context.broken_names.update(circle)
        ordered |= dict(reversed(chain.items()))
    return list(ordered.values())


class _Event:
    def __init__(self, context: Context, declaration: ast.EventDeclaration) -> None:
        self.context = context
        self.declaration = declaration
        self.time: ast.Name | None = None
        self.id: ast.Name | None = None

    def build(self) -> EventType | None:
        """The event type; None when what it extends is not sound."""
        declaration = self.declaration
        parent = self._parent()
        if declaration.parent is not None and parent is None:
            return None
        fields = self._fields(declaration.fields, (), top=True)
        lateness = parent.lateness_ms if parent is not None else 0
        idle = parent.idle_ms if parent is not None else None
        if parent is not None:
            fields = self._inherited(parent, fields)
        for option in declaration.sources:
            if option.word == "lateness" and isinstance(option.value, ast.Duration):
                lateness = option.value.ms
            elif option.word == "idle" and isinstance(option.value, ast.Duration):
                idle = option.value.ms
            elif option.word == "time" and option.name is not None:
                self._time_option(option.name, fields)
        written = declaration.discriminator
        inherited = (parent.time_field, parent.id_field) if parent is not None else (None, None)
        return EventType(
            declaration.name.text,
            written.value if written else declaration.name.text,
            fields,
            self.time.text if self.time else inherited[0],
            self.id.text if self.id else inherited[1],
            lateness,
            idle,
            declaration.name.span,
        )

    def _parent(self) -> EventType | None:
        name = self.declaration.parent
        if name is None or name.text in self.context.broken_names:
            return None
        if name.text not in self.context.events:
            message = f"unknown event `{name.text}`"
            self.context.unknown("E010", message, name, self.context.events)
        return self.context.events.get(name.text)

    def _inherited(self, parent: EventType, own: tuple[Field, ...]) -> tuple[Field, ...]:
        """The parent's fields and then the event's own, none of them declared anew."""
        if len(parent.fields) + len(own) > limits.EVENT_FIELDS_MAX:
            message = f"an event of more than {limits.EVENT_FIELDS_MAX:,} fields"
            self.context.report("E004", message, self.declaration.name.span)
            return own
        known = {field.name for field in parent.fields}
        where = self.context.place(parent.span)
        for written in self.declaration.fields:
            if written.name.text in known:
                message = f"`{written.name.text}` is a field of `{parent.name}` at {where}"
                hint = "an event that extends another only adds fields"
                self.context.report("E014", message, written.name.span, hint)
        return (*parent.fields, *(field for field in own if field.name not in known))

    def _time_option(self, name: ast.Name, fields: tuple[Field, ...]) -> None:
        """`time ts` behind the declaration: the same as `@time` on the field."""
        found = next((field for field in fields if field.name == name.text), None)
        if found is None:
            message = f"`{self.declaration.name.text}` has no field `{name.text}`"
            self.context.unknown("E011", message, name, [field.name for field in fields])
        else:
            self._time(name, found.type, name.span)

    def _fields(
        self, written: tuple[ast.FieldDeclaration, ...], prefix: tuple[str, ...], top: bool
    ) -> tuple[Field, ...]:
        fields: dict[str, Field] = {}
        for declaration in written:
            name = declaration.name
            if name.text in fields:
                self.context.report("E014", f"a second field `{name.text}`", name.span)
                continue
            source = self._source(declaration, (*prefix, name.text))
            type_ = self._type(declaration.type, source)
            fields[name.text] = Field(name.text, type_, source)
            self._roles(declaration, type_, top)
        return tuple(fields.values())

    def _source(self, field: ast.FieldDeclaration, default: tuple[str, ...]) -> tuple[str, ...]:
        for attribute in field.attributes:
            if attribute.name.text != "path":
                continue
            value = attribute.arguments[0].value if len(attribute.arguments) == 1 else None
            if isinstance(value, ast.String) and all(value.value.split(".")):
                return tuple(value.value.split("."))
            hint = 'write `@path("actor.user.id")`'
            self.context.report("E022", "`@path` takes one dotted path", attribute.span, hint)
        return default

    def _roles(self, field: ast.FieldDeclaration, type_: Type, top: bool) -> None:
        for attribute in field.attributes:
            role, span = attribute.name.text, attribute.span
            if role not in _ATTRIBUTES:
                self.context.unknown(
                    "E017", f"unknown attribute `@{role}`", attribute.name, _ATTRIBUTES
                )
            elif role != "path" and not top:
                self.context.report("E023", f"`@{role}` on a field inside a record", span)
            elif role == "time":
                self._time(field.name, type_, span)
            elif role == "id":
                if self.id is not None:
                    self.context.report("E061", "a second `@id` field", span)
                if type_.kind not in {Kind.STRING, Kind.INT}:
                    self.context.report("E023", "`@id` must be a string or an int", span)
                self.id = field.name

    def _time(self, name: ast.Name, type_: Type, span: Span) -> None:
        if self.time is not None:
            self.context.report("E061", "a second `@time` field", span)
        if type_.kind is not Kind.TIMESTAMP or type_.optional:
            self.context.report("E023", "`@time` must be a `timestamp` that is always there", span)
        self.time = name

    def _type(self, written: ast.TypeExpression, source: tuple[str, ...]) -> Type:
        optional = written.optional
        if isinstance(written, ast.ListType):
            return Type(Kind.LIST, optional, item=self._type(written.item, source))
        if isinstance(written, ast.RecordType):
            return Type(Kind.RECORD, optional, fields=self._fields(written.fields, source, False))
        return scalar_type(self.context, written)


def scalar_type(context: Context, written: ast.NamedType | ast.EnumType) -> Type:
    """The type of one value; `string` in place of what is wrong, after reporting it."""
    optional = written.optional
    if isinstance(written, ast.EnumType):
        values = tuple(string.value for string in written.values)
        if len(set(values)) < len(values):
            context.report("E014", "a value twice in one enum", written.span)
        return Type(Kind.ENUM, optional, values=tuple(dict.fromkeys(values)))
    kind = _SIMPLE.get(written.name.text)
    if kind is None:
        message = f"unknown type `{written.name.text}`"
        context.unknown("E016", message, written.name, [*_SIMPLE, "enum"])
        return Type(Kind.STRING, optional)
    if written.argument is not None and kind is not Kind.DECIMAL:
        context.report("E023", f"`{kind.value}` takes no number", written.span)
    if kind is not Kind.DECIMAL:
        return Type(kind, optional)
    given = written.argument
    scale = limits.DECIMAL_SCALE_DEFAULT if given is None else given
    if scale > limits.DECIMAL_SCALE_MAX:
        message = f"a decimal has at most {limits.DECIMAL_SCALE_MAX} places"
        context.report("E023", message, written.span)
        scale = limits.DECIMAL_SCALE_MAX
    return Type(Kind.DECIMAL, optional, scale=scale)
