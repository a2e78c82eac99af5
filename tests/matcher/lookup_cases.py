"""Tables for tests of look-ups, and the storage form of rows written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from model_builders import SPAN, field

from dsl.model import Table
from matcher.batch import Column
from matcher.storage import nulls, to_storage
from matcher.strings import Strings

SERVERS = Table(
    "servers",
    (
        field("host", "string"),
        field("owner", "string?"),
        field("tier", "int?"),
        field("w", "float?"),
    ),
    ("host",),
    None,
    SPAN,
)
PRICES = Table(
    "prices",
    (field("price", "float?"), field("shop", "string"), field("item", "int"), field("on", "bool")),
    ("shop", "item", "on"),
    None,
    SPAN,
)
NUMBERS = Table("numbers", (field("value", "int"),), ("value",), None, SPAN)
ZONES = Table("zones", (field("net", "cidr"), field("zone", "string?")), ("net",), None, SPAN)
TABLES = (SERVERS, PRICES, NUMBERS, ZONES)


def columns(
    table: Table, rows: Sequence[Mapping[str, object]], strings: Strings, keys_only: bool = False
) -> list[Column]:
    """Rows in scalar form as columns; with `keys_only` those of the key, in its order."""
    names = table.key if keys_only else [each.name for each in table.fields]
    found = []
    for name in names:
        column = nulls(table.field(name).type.kind, len(rows))
        for place, row in enumerate(rows):
            value = row.get(name)
            if value is not None:
                column[place] = to_storage(value, strings)
        found.append(column)
    return found


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)
