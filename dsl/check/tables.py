"""Pass: `table` and `list` declarations to `model.Table`.

A table has one field or more marked `@pk`, by which its rows are told apart; every field holds one
value.  A list is a table of one field.  A file must lie below the folder of the rule file, so rules
from elsewhere cannot read what is not theirs; the command line may name any file.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from dsl import ast
from dsl.check.context import Context
from dsl.check.events import scalar_type
from dsl.check.literals import BAD, json_literal
from dsl.model import DataSource, Field, Kind, Table, Type

VALUE = "value"
"""The only field of a list."""

_ATTRIBUTES = ("pk", "path")
_SOURCES = ("file", "redis", "api")
_NO_KEY = {Kind.FLOAT, Kind.LIST, Kind.RECORD}


def check_tables(context: Context) -> None:
    for file in context.files:
        for declaration in file.declarations:
            if not isinstance(declaration, ast.TableDeclaration | ast.ListDeclaration):
                continue
            name = declaration.name.text
            if name in {*context.broken_names, *context.tables, *context.lists}:
                continue
            if isinstance(declaration, ast.TableDeclaration):
                found, known = _table(context, declaration), context.tables
            else:
                found, known = _list(context, declaration), context.lists
            if found is None:
                context.broken_names.add(name)
            else:
                known[name] = found


# ------------------------------------------------------------------------------------- tables


def _table(context: Context, declaration: ast.TableDeclaration) -> Table | None:
    before = len(context.diagnostics)
    fields: dict[str, Field] = {}
    key: list[str] = []
    for written in declaration.fields:
        name = written.name
        if name.text in fields:
            context.report("E014", f"a second field `{name.text}`", name.span)
            continue
        type_ = _field_type(context, written.type)
        place = _source_of_field(context, written)
        fields[name.text] = Field(name.text, type_, place)
        if any(attribute.name.text == "pk" for attribute in written.attributes):
            key.append(name.text)
            _check_key(context, written, type_)
        elif type_.kind is Kind.CIDR:
            message, hint = "only the key of a table can be networks", f"`{name.text}: cidr @pk`"
            context.report("E085", message, written.type.span, hint)
    if not key:
        message = f"table `{declaration.name.text}` has no key"
        hint = "mark the field that tells its rows apart: `id: string @pk`"
        context.report("E085", message, declaration.name.span, hint)
    networks = [name for name in key if fields[name].type.kind is Kind.CIDR]
    if networks and len(key) > 1:
        message = "a key of networks has one part"
        context.report("E085", message, declaration.name.span)
    source = _source(context, declaration.sources)
    if any(context.diagnostics[i].severity == "error" for i in _since(context, before)):
        return None
    return Table(
        declaration.name.text, tuple(fields.values()), tuple(key), source, declaration.name.span
    )


def _since(context: Context, before: int) -> range:
    return range(before, len(context.diagnostics))


def _field_type(context: Context, written: ast.TypeExpression) -> Type:
    if isinstance(written, ast.NamedType) and written.name.text == Kind.CIDR.value:
        if written.argument is not None:
            context.report("E023", "`cidr` takes no number", written.span)
        return Type(Kind.CIDR, written.optional)
    if isinstance(written, ast.ListType | ast.RecordType):
        message = "a field of a table holds one value, not a list or record"
        context.report("E085", message, written.span)
        return Type(Kind.STRING, written.optional)
    return scalar_type(context, written)


def _check_key(context: Context, written: ast.FieldDeclaration, type_: Type) -> None:
    if type_.optional:
        message = f"`{written.name.text}` is part of the key, so it cannot be null"
        context.report("E085", message, written.type.span, "remove the `?`")
    elif type_.kind in _NO_KEY:
        message = f"a {type_.kind.value} cannot be a key"
        context.report("E051", message, written.type.span, "use an int, a decimal or a string")


def _source_of_field(context: Context, written: ast.FieldDeclaration) -> tuple[str, ...]:
    """The column or JSON path of a field: its name, unless `@path` says otherwise."""
    source: tuple[str, ...] = (written.name.text,)
    for attribute in written.attributes:
        word, arguments = attribute.name.text, attribute.arguments
        if word not in _ATTRIBUTES:
            context.unknown("E017", f"unknown attribute `@{word}`", attribute.name, _ATTRIBUTES)
        elif word == "path":
            value = arguments[0].value if len(arguments) == 1 else None
            if isinstance(value, ast.String) and all(value.value.split(".")):
                source = tuple(value.value.split("."))
            else:
                hint = 'write `@path("column")`'
                context.report("E022", "`@path` takes one column", attribute.span, hint)
    return source


# ------------------------------------------------------------------------------------- lists


def _list(context: Context, declaration: ast.ListDeclaration) -> Table | None:
    before = len(context.diagnostics)
    name, written = declaration.name, declaration.type
    if not isinstance(written, ast.ListType):
        message = f"`{name.text}` must be a list"
        context.report("E085", message, written.span, f"write `list {name.text}: [string]`")
        return None
    item = _field_type(context, written.item)
    if item.optional or written.optional:
        context.report("E085", "a list holds no nulls", written.span, "remove the `?`")
    if item.kind in _NO_KEY:
        context.report("E051", f"a list of {item.kind.value} has no equal values", written.span)
    values = _values(context, declaration, item)
    source = _source(context, declaration.sources)
    if source is not None and values is not None:
        message = f"`{name.text}` has its values here and from a source"
        context.report("E061", message, source.span, "keep one of the two")
    if any(context.diagnostics[i].severity == "error" for i in _since(context, before)):
        return None
    field = Field(VALUE, item, (VALUE,))
    return Table(name.text, (field,), (VALUE,), source, name.span, values)


def _values(
    context: Context, declaration: ast.ListDeclaration, item: Type
) -> tuple[object, ...] | None:
    written = declaration.value
    if written is None:
        return None
    if not isinstance(written, ast.Array):
        context.report("E085", "expected the values of the list", written.span, 'e.g. `["a", "b"]`')
        return None
    found = [json_literal(context, node, item) for node in written.items]
    return None if any(value is BAD for value in found) else tuple(found)


# ------------------------------------------------------------------------------------- sources


def _source(context: Context, written: tuple[ast.SourceOption, ...]) -> DataSource | None:
    found: DataSource | None = None
    given = 0
    for option in written:
        if option.word != "from" or option.name is None:
            message = f"`{option.word}` is of events, not of reference data"
            context.report("E085", message, option.span)
            continue
        given += 1
        if given > 1:
            context.report("E061", "a second source", option.span)
        elif option.name.text not in _SOURCES:
            message = f"unknown source `{option.name.text}`"
            context.unknown("E017", message, option.name, _SOURCES)
        else:
            found = _address(context, option, option.name.text)
    return found


def _address(context: Context, option: ast.SourceOption, kind: str) -> DataSource | None:
    address = option.value.value if isinstance(option.value, ast.String) else None
    if kind == "api":
        if address is not None:
            context.report("E022", "`from api` takes no address", option.span)
        return None
    if not address:
        example = '"servers.csv"' if kind == "file" else '"merchant:*"'
        hint = f"e.g. `from {kind} {example}`"
        context.report("E022", f"`from {kind}` takes an address", option.span, hint)
        return None
    path = PurePosixPath(address.replace("\\", "/"))
    if kind == "file" and (path.is_absolute() or ".." in path.parts or ":" in path.parts[0]):
        message = "a file of reference data lies beside the rule file or below it"
        hint = "name it by its relative path, or give any file with `--table NAME=FILE`"
        context.report("E086", message, option.span, hint)
        return None
    return DataSource(kind, address, option.span)
