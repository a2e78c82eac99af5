"""Pass: keys that come from the rows of a table or list, `by host in servers`.

Only a rule that begins with a silence gains by that: its rows tell it of keys without any event.
Every part of the key comes from the same table, and the parts are those of the table's own key, in
that order.
"""

from __future__ import annotations

from dsl import ast
from dsl.check.context import Context, RuleDraft
from dsl.check.typing import TEXTS, name_of
from dsl.check.windows import is_windowed
from dsl.model import Key, Kind, Table, Type, leading_silence


def check_key_table(context: Context, rule: RuleDraft) -> None:
    parts = rule.by.parts if rule.by is not None else ()
    named = [part.table for part in parts if part.table is not None]
    if not named:
        return
    before = len(context.diagnostics)
    table = _table(context, named[0])
    if table is not None and _has_the_parts(context, parts, table):
        for part, key, name in zip(parts, rule.keys, table.key, strict=True):
            _check_type(context, part, key, table, table.field(name).type)
        _check_use(context, rule, named[0], table)
    if table is None or len(context.diagnostics) > before:
        rule.broken = True
    else:
        rule.key_table = table.name


def _table(context: Context, name: ast.Name) -> Table | None:
    """What the key's rows are in; None after reporting that there is no such thing."""
    known = {**context.tables, **context.lists}
    if name.text not in known and name.text not in context.broken_names:
        context.unknown("E010", f"unknown table or list `{name.text}`", name, known)
    return known.get(name.text)


def _has_the_parts(context: Context, parts: tuple[ast.KeyPart, ...], table: Table) -> bool:
    """Whether the key is that of the table, part for part; reports the first that is not."""
    for part in parts:
        if part.table is None or part.table.text != table.name:
            message = f"one part of the key comes from `{table.name}`, and this does not"
            hint = "all parts of a key come from one table, or none"
            context.report("E053", message, part.span, hint)
            return False
    if len(parts) == len(table.key):
        return True
    count = f"{len(table.key)} parts" if len(table.key) > 1 else "one part"
    message = f"the key of `{table.name}` has {count}, that of the rule {len(parts)}"
    hint = f"write `by {', '.join(f'{name} in {table.name}' for name in table.key)}`"
    context.report("E053", message, parts[-1].span, hint)
    return False


def _check_type(
    context: Context, part: ast.KeyPart, key: Key, table: Table, declared: Type
) -> None:
    kinds = {key.type.kind, declared.kind}
    same = len(kinds) == 1 and (declared.kind is not Kind.DECIMAL or key.type == declared)
    if not same and not kinds <= TEXTS:
        found = name_of(key.type)
        message = f"`{table.name}` has keys of {name_of(declared)}, and `{key.name}` is {found}"
        context.report("E020", message, part.span)


def _check_use(context: Context, rule: RuleDraft, written: ast.Name, table: Table) -> None:
    """A rule without a silence knows of a key by its events only, so rows can tell it nothing."""
    assert rule.pattern is not None and rule.by is not None, "broken rules come no further"
    silence, _ = leading_silence(rule.pattern)
    if silence is not None:
        return
    paths = [".".join(part.path.names) for part in rule.by.parts]
    of_list = table.name in context.lists
    test = f"{paths[0]} in {table.name}" if of_list else f"exists {table.name}[{', '.join(paths)}]"
    hint = f"to see only those in it, write `{rule.steps[0].core.name.text}[{test}]`"
    message = f"`in {table.name}` is for a rule that begins with a silence, `not … for 5m`"
    code = "E082" if is_windowed(rule.declaration) else "E066"
    context.report(code, message, written.span, hint)
