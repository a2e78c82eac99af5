"""Pass: the rule's key in every event it sees, and the alphabet.

`by k` takes the field of that name from each event type; a step that holds it elsewhere says so
with a `by` of its own.  A rule without `by` has the empty key: all events belong together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dsl import ast
from dsl.check.context import Context, RuleDraft
from dsl.check.filters import core_condition, named_event
from dsl.check.scope import Scope, field_path, find_field
from dsl.check.typing import NO_KEYS, TEXTS, name_of
from dsl.diagnostics import did_you_mean
from dsl.model import EventType, Key, Kind, Path, Symbol, Type


def check_keys(context: Context, rule: RuleDraft) -> None:
    keys = _Keys(context, rule)
    for step in rule.steps:
        path = keys.path(step.core, step.event)
        step.key = path or ()
    _alphabet(context, rule, keys)
    rule.cancel = keys.symbols([clause.on for clause in rule.cancel_clauses])
    rule.resolve = keys.symbols([clause.on for clause in rule.resolve_clauses])
    rule.keys = tuple(Key(name, type_) for name, type_ in keys.types.items())
    rule.broken = rule.broken or keys.failed


class _Keys:
    def __init__(self, context: Context, rule: RuleDraft) -> None:
        self.context = context
        self.failed = False
        self.parts = rule.by.parts if rule.by is not None else ()
        self.types: dict[str, Type] = {}
        names = [_name(part) for part in self.parts]
        for part, name in zip(self.parts, names, strict=True):
            if names.count(name) > 1:
                self._fail("E014", f"key part `{name}` twice", part)
                break

    def _fail(self, code: str, message: str, node: ast.Node, hint: str | None = None) -> None:
        self.context.report(code, message, node.span, hint)
        self.failed = True

    def path(self, core: ast.Core, event: EventType) -> tuple[Path, ...] | None:
        """Where `event` holds each part of the key."""
        if core.by is None:
            written = [part.path for part in self.parts]
        elif len(core.by) == len(self.parts):
            written = list(core.by)
        else:
            message = f"key fields: {len(core.by)}, parts of the rule's key: {len(self.parts)}"
            hint = None if self.parts else "give the rule a `by` with a name for the key"
            self._fail("E053", message, core.by[0], hint)
            return None
        found = [
            self._part(part, path, core, event)
            for part, path in zip(self.parts, written, strict=True)
        ]
        return None if None in found else tuple(path for path in found if path is not None)

    def symbols(self, cores: Iterable[ast.Core]) -> tuple[Symbol, ...]:
        """Events outside of the pattern, with the key in each and the condition on it."""
        found = []
        for core in cores:
            base = named_event(self.context, core.name)
            if base is None:
                self.failed = True
                continue
            event = self.context.events[base.event]
            path = self.path(core, event)
            condition = core_condition(self.context, core, base, Scope(own=event))
            timed = self.context.check_time(event, core.name, "place among others")
            sound = condition is not None or core.condition is None
            if not timed or not sound or path is None:
                self.failed = True
            else:
                found.append(Symbol(event.name, condition, path))
        return tuple(found)

    def _part(
        self, part: ast.KeyPart, written: ast.Path, core: ast.Core, event: EventType
    ) -> Path | None:
        name = _name(part)
        if core.by is None and find_field(event.fields, written.names[0]) is None:
            close = did_you_mean(written.names[0], [f.name for f in event.fields])
            hint = f"say which field holds it: `{core.name.text} by …`"
            message = f"key `{name}` is not a field of `{event.name}`"
            self._fail("E050", message, core.name, f"{hint}; {close}" if close else hint)
            return None
        names = tuple(ast.Name(written.span, text) for text in written.names)
        found = field_path(self.context, event, names)
        if found is None:
            self.failed = True
            return None
        path, type_ = found
        if type_.kind in NO_KEYS:
            self._fail("E051", NO_KEYS[type_.kind], written)
            return None
        self._same_type(name, type_, core, event)
        return path

    def _same_type(self, name: str, type_: Type, core: ast.Core, event: EventType) -> None:
        plain = replace(type_, optional=False)
        first = self.types.setdefault(name, plain)
        if first == plain:
            return
        if {first.kind, plain.kind} <= TEXTS:
            self.types[name] = Type(Kind.STRING)
            return
        message = f"key `{name}` is {name_of(plain)} in `{event.name}` and {name_of(first)} before"
        self._fail("E052", message, core.name)


def _name(part: ast.KeyPart) -> str:
    return part.name.text if part.name is not None else ".".join(part.path.names)


def _alphabet(context: Context, rule: RuleDraft, keys: _Keys) -> None:
    """`over` if written, else every type the pattern names."""
    if rule.over is None or rule.over.window is not None:
        symbols = (Symbol(step.event.name, None, step.key) for step in rule.steps)
        rule.alphabet = list(dict.fromkeys(symbols))
        return
    rule.alphabet = list(keys.symbols(rule.over.sources))
    if keys.failed:
        return
    seen = {(symbol.event, symbol.key) for symbol in rule.alphabet}
    for step in rule.steps:
        if (step.event.name, step.key) not in seen:
            message = f"`{step.label}` is not in `over`, so the rule never sees it"
            hint = f"add `{step.event.name}` to `over`"
            context.report("E036", message, step.span, hint)
            rule.broken = True
