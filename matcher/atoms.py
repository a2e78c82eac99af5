"""Atoms: conditions on a single event, evaluated for a whole batch at a time.

    evaluate(batch).mask(atom)[row] = the row is of the atom's event type and its condition is true

Expressions are compiled into nodes of one graph shared by all rules.  Equal expressions are one
node, found by the ids of their parts when rules are loaded, so a batch computes each once, and only
when something asks for it.  Texts are compared by code; functions of texts go through tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Call, Const, Expr, FieldRef, Kind
from dsl.operators import LOOKUPS
from matcher import vector_ops as ops
from matcher.batch import Batch, Column
from matcher.by_value import ByValue
from matcher.dates import PARTS, part_of_column
from matcher.evaluate import STRICT, lookup_parts
from matcher.schema import Schema
from matcher.storage import nulls, to_storage
from matcher.strings import Strings
from matcher.text_functions import PATTERNS
from matcher.vector_ops import Mask, Truth

if TYPE_CHECKING:
    from matcher.lookup.reference_data import ReferenceData

Vector: TypeAlias = Any  # Truth for bools, else Values in storage form
Compute: TypeAlias = Callable[..., Vector]


@dataclass(frozen=True, slots=True)
class _Node:
    """`compute` takes the vectors of the nodes `args`, or the batch when there are none."""

    kind: Kind
    nullable: bool
    args: tuple[int, ...]
    compute: Compute


class Atoms:
    """The conditions and derived columns of all rules of one schema; ids are stable."""

    def __init__(
        self, schema: Schema, strings: Strings, tables: ReferenceData | None = None
    ) -> None:
        self._schema = schema
        self.strings = strings
        self.tables = tables
        self._nodes: list[_Node] = []
        self._node_ids: dict[tuple[object, ...], int] = {}
        self._atoms: list[tuple[int, int | None]] = []
        self._atom_ids: dict[tuple[int, int | None], int] = {}

    def __len__(self) -> int:
        return len(self._atoms)

    def atom(self, event: str, condition: Expr | None) -> int:
        """Id of the test for events of this type that satisfy `condition` (None: all of them)."""
        node = None if condition is None else self._compile(condition, event)
        key = (self._schema.event_index[event], node)
        if key not in self._atom_ids:
            self._atom_ids[key] = len(self._atoms)
            self._atoms.append(key)
        return self._atom_ids[key]

    def derived(self, event: str, expr: Expr) -> int:
        """Id of the column of `expr` for events of this type; other rows hold anything."""
        return self._compile(expr, event)

    def evaluate(self, batch: Batch) -> BatchAtoms:
        """The atoms for `batch`; nothing is computed yet."""
        return BatchAtoms(batch, self._nodes, self._atoms)

    # ---------------------------------------------------------------- expressions → nodes

    def _compile(self, expr: Expr, event: str, null_kind: Kind = Kind.STRING) -> int:
        """The node of `expr`; `null_kind` is what a bare null stands for."""
        match expr:
            case Const():
                return self._constant(expr, null_kind)
            case FieldRef(step=None):
                return self._field(event, expr.path)
            case Call(op="in"):
                return self._membership(expr, event)
            case Call() if expr.op in LOOKUPS:
                return self._look_up(expr, event)
            case Call():
                return self._call(expr, event)
        raise ValueError(f"not an expression on a single event: {expr}")

    def _node(self, key: tuple[object, ...], make: Callable[[], _Node]) -> int:
        node = self._node_ids.get(key)
        if node is None:
            made = make()
            node = self._node_ids[key] = len(self._nodes)
            self._nodes.append(made)
        return node

    def _field(self, event: str, path: tuple[str, ...]) -> int:
        column = self._schema.column(event, path)
        kind = self._schema.type_of(event, path).kind
        nullable = self._schema.nullable(event, path)

        def compute(batch: Batch) -> Vector:
            values = batch.columns[column]
            return ops.truth_of_column(values) if kind is Kind.BOOL else values

        key = ("field", column, nullable)
        return self._node(key, lambda: _Node(kind, nullable, (), compute))

    def _constant(self, expr: Const, null_kind: Kind) -> int:
        kind = null_kind if expr.type.kind is Kind.NULL else expr.type.kind
        value = expr.value
        vector: Vector
        if kind is Kind.BOOL:
            null = np.array(True)
            vector = Truth(np.array(value is True), (lambda: null) if value is None else None)
        elif value is None:
            vector = nulls(kind, 1)[0]
        elif kind is Kind.FLOAT:
            vector = np.float64(to_storage(value, self.strings))
        else:
            vector = np.int64(to_storage(value, self.strings))
        key = ("const", kind, value)
        return self._node(key, lambda: _Node(kind, value is None, (), lambda _: vector))

    def _call(self, call: Call, event: str) -> int:
        """Any operator; `in` of a list written out has its own way."""
        known = [arg.type.kind for arg in call.args if arg.type.kind is not Kind.NULL]
        null_kind = known[-1] if known else Kind.STRING
        args = tuple(self._compile(arg, event, null_kind) for arg in call.args)
        scales = (call.args[0].type.scale, call.type.scale)
        nodes = [self._nodes[arg] for arg in args]

        def make() -> _Node:
            compute = self._operator(call, nodes)
            nullable = call.op not in _NEVER_MAKES_NULL or any(node.nullable for node in nodes)
            if call.op in ("is_null", "exists", "is_same"):
                nullable = False
            elif call.op == "coalesce":
                nullable = nodes[1].nullable
            kind = nodes[-1].kind if call.op in ("coalesce", "if") else call.type.kind
            return _Node(kind, nullable, args, compute)

        return self._node((call.op, args, scales), make)

    def _operator(self, call: Call, nodes: list[_Node]) -> Compute:
        """What computes the call from the vectors of its arguments."""
        op = call.op
        of_truths = nodes[-1].kind is Kind.BOOL
        if op in ops.ARITHMETIC:
            return ops.ARITHMETIC[op]
        if op in ops.ROUND:
            rounded = ops.ROUND[op]
            return rounded if nodes[0].kind is Kind.FLOAT else lambda x: x
        match op:
            case "eq" | "ne" if of_truths:
                return lambda x, y: ops.compare_truths(op, x, y)
            case "eq" | "ne" | "lt" | "le" | "gt" | "ge":
                nullable = (nodes[0].nullable, nodes[1].nullable)
                return lambda x, y: ops.compare(op, x, y, *nullable)
            case "and":
                return ops.logical_and
            case "or":
                return ops.logical_or
            case "not":
                return ops.logical_not
            case "is_null":
                return lambda x: Truth(x.null if of_truths else ops.is_null(x))
            case "exists":
                return lambda x: Truth(~(x.null if of_truths else ops.is_null(x)))
            case "is_same":
                return ops.same_truths if of_truths else ops.same
            case "coalesce":
                return ops.coalesce_truths if of_truths else ops.coalesce
            case "if":
                return ops.choose_truths if of_truths else ops.choose
            case "to_float":
                scale = call.args[0].type.scale
                return lambda x: ops.to_float(x, scale)
            case "rescale":
                factor = np.array(10 ** (call.type.scale - call.args[0].type.scale))
                return lambda x: ops.multiply(x, factor)
            case op if op in PARTS:
                zone = _text(call.args[1])
                return lambda ms, _: part_of_column(op, ms, zone)
            case op if op in STRICT:
                return self._by_value(call, nodes)
        raise ValueError(f"unknown operator {op}")

    def _by_value(self, call: Call, nodes: list[_Node]) -> Compute:
        if call.op in PATTERNS:
            PATTERNS[call.op](_text(call.args[1]))  # one that does not parse is an error now
        return ByValue(call, [node.kind for node in nodes], self.strings)

    # ---------------------------------------------------------------- look-ups

    def _look_up(self, call: Call, event: str) -> int:
        """A field of a row, or whether there is one, as of the position of each event."""
        at = self._node(("position",), lambda: _Node(Kind.INT, False, (), lambda b: b.seen_as_of))
        if call.op == "position":
            return at
        assert self.tables is not None, "a rule that looks rows up needs tables"
        (table, *field), written = lookup_parts(call)
        found = self.tables.table(table)
        keys = tuple(self._compile(arg, event) for arg in written)
        kinds = [self._nodes[key].kind for key in keys]

        def find(positions: Any, *key: Vector) -> Vector:
            columns = [
                np.broadcast_to(
                    ops.column_of_truth(x) if isinstance(x, Truth) else x, len(positions)
                )
                for x in key
            ]
            return found.find(columns, positions)

        version = self._node(
            ("row", table, *keys), lambda: _Node(Kind.INT, False, (at, *keys), find)
        )
        if field:
            kind = call.type.kind
            of_truths = kind is Kind.BOOL

            def read(versions: Vector) -> Vector:
                values = found.values(field[0], versions)
                return ops.truth_of_column(values) if of_truths else values

            return self._node(
                ("lookup", field[0], version), lambda: _Node(kind, True, (version,), read)
            )
        nullable = any(self._nodes[key].nullable for key in keys)

        def there(versions: Vector, *key: Vector) -> Truth:
            if not nullable:
                return Truth(versions >= 0)
            nulls_ = [
                x.null if kind is Kind.BOOL else ops.is_null(x)
                for kind, x in zip(kinds, key, strict=True)
            ]
            null = np.broadcast_to(reduce(np.logical_or, nulls_), len(versions))
            return Truth(versions >= 0, lambda: null)

        return self._node(
            ("listed", version), lambda: _Node(Kind.BOOL, nullable, (version, *keys), there)
        )

    def _membership(self, call: Call, event: str) -> int:
        """`x in list`: true if equal to a member that is not null, null if x is null."""
        tested, listed = call.args
        x = self._compile(tested, event)
        node = self._nodes[x]
        if isinstance(listed, Call) and listed.op == "array":
            members = [self._compile(member, event, node.kind) for member in listed.args]
        elif isinstance(listed, Const) and isinstance(listed.value, tuple | list):
            item = listed.type.item or tested.type
            consts = [Const(item, value, call.span) for value in listed.value]
            members = [self._compile(const, event, node.kind) for const in consts]
        else:
            return self._call(call, event)

        def compute(value: Vector, *others: Vector) -> Truth:
            return _among(value, others, node)

        key = ("in", x, *members)
        return self._node(key, lambda: _Node(Kind.BOOL, node.nullable, (x, *members), compute))


_NEVER_MAKES_NULL = frozenset(
    {
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "coalesce", "if"),
        *("neg", "abs", "min2", "max2", "floor", "ceil", "round", "to_float", "length"),
        *("like", "regex", "in_cidr", "starts_with", "ends_with", "contains", "in"),
        *("lower", "upper", "trim", "trim_start", "trim_end", "substring", "to_text"),
    }
)
"""Operators that give null only where an argument is null."""


def _text(expr: Expr) -> str:
    """The text of an argument that the checker asks to be a literal."""
    if not isinstance(expr, Const) or not isinstance(expr.value, str):
        raise ValueError(f"not a literal: {expr}")
    return expr.value


def _among(x: Vector, members: tuple[Vector, ...], node: _Node) -> Truth:
    """Where x equals a member; members that are null count for nothing."""
    if node.kind is Kind.BOOL:
        equal = [ops.compare_truths("eq", x, member).values for member in members]
    elif len(members) > 8 and all(np.ndim(member) == 0 for member in members):
        equal = [np.isin(x, np.array(members))]
    else:
        equal = [x == member for member in members]
    null = x.null if node.kind is Kind.BOOL else ops.is_null(x)
    values = equal[0] if equal else np.zeros_like(null)
    for each in equal[1:]:
        values = values | each
    return Truth(values & ~null, lambda: null) if node.nullable else Truth(values)


class BatchAtoms:
    """Atoms and derived columns of one batch, each computed when first asked for.

    The arrays are shared: callers do not write to them.
    """

    def __init__(
        self, batch: Batch, nodes: list[_Node], atoms: list[tuple[int, int | None]]
    ) -> None:
        self._batch = batch
        self._nodes = nodes
        self._atoms = atoms
        self._vectors: dict[int, Vector] = {}
        self._masks: dict[int, Mask] = {}
        self._of_type: dict[int, Mask] = {}

    def mask(self, atom: int) -> NDArray[np.bool_]:
        """bool of shape (len(batch),): which rows are of the type and satisfy the condition."""
        found = self._masks.get(atom)
        if found is None:
            event, node = self._atoms[atom]
            found = self._rows_of(event)
            if node is not None:
                found = found & self._vector(node).values
            self._masks[atom] = found
        return found

    def values(self, derived: int) -> Column:
        """The derived column in storage form; rows of other event types hold anything."""
        vector = self._vector(derived)
        column = ops.column_of_truth(vector) if isinstance(vector, Truth) else vector
        if column.ndim == 0:
            column = np.full(len(self._batch), column)
        filled: Column = column
        return filled

    def _rows_of(self, event: int) -> Mask:
        found = self._of_type.get(event)
        if found is None:
            found = self._of_type[event] = self._batch.event_type == event
        return found

    def _vector(self, node: int) -> Vector:
        found = self._vectors.get(node)
        if found is None:
            spec = self._nodes[node]
            args = [self._vector(arg) for arg in spec.args]
            found = spec.compute(*args) if spec.args else spec.compute(self._batch)
            self._vectors[node] = found
        return found
