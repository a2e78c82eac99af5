"""Checked expressions as text, as a rule would write them: for people who ask why.

Conversions that the checker has put in are left out, and definitions are written out.  The text is
meant to be read; it need not check again to the same model.
"""

from __future__ import annotations

import json

from dsl.functions import FUNCTIONS
from dsl.model import WINDOW, Aggregate, Call, Const, Expr, FieldRef, KeyRef, Kind, Path, Rule, Type
from matcher.shown import duration_text, shown

_OR, _AND, _NOT, _TEST, _SUM, _PRODUCT, _ATOM = range(7)
_INFIX = {
    "or": ("or", _OR),
    "and": ("and", _AND),
    "eq": ("==", _TEST),
    "ne": ("!=", _TEST),
    "lt": ("<", _TEST),
    "le": ("<=", _TEST),
    "gt": (">", _TEST),
    "ge": (">=", _TEST),
    "in": ("in", _TEST),
    "is_same": ("is", _TEST),
    "like": ("like", _TEST),
    "coalesce": ("??", _SUM),
    "concat": ("+", _SUM),
    "add": ("+", _SUM),
    "sub": ("-", _SUM),
    "mul": ("*", _PRODUCT),
    "div": ("/", _PRODUCT),
    "mod": ("%", _PRODUCT),
}
_UNSAID = frozenset({"to_float", "rescale"})
_NAMES = {
    **{function.op: name for name, variants in FUNCTIONS.items() for function in variants},
    "min2": "min",
    "max2": "max",
    "round_to": "round",
    "to_int": "int",
    "parse_int": "int",
    "parse_float": "float",
    "parse_timestamp": "timestamp",
}
_TEXT_LITERALS = frozenset({Kind.STRING, Kind.ENUM, Kind.IP, Kind.CIDR, Kind.TIMESTAMP})


def expression_text(rule: Rule, expr: Expr) -> str:
    """`expr` of `rule`; fields of the event being tested have no name in front."""
    return _Writer(rule).text(expr, _OR)


class _Writer:
    def __init__(self, rule: Rule, own: str = "") -> None:
        self._rule = rule
        self._own = own

    def text(self, expr: Expr, level: int) -> str:
        """`expr` in a place that binds as tight as `level`."""
        written, binds = self._written(expr)
        return f"({written})" if binds < level else written

    def _written(self, expr: Expr) -> tuple[str, int]:
        match expr:
            case Const():
                return literal_text(expr.type, expr.value), _ATOM
            case KeyRef(index=index):
                return self._rule.keys[index].name, _ATOM
            case FieldRef():
                return self._field(expr), _ATOM
            case Aggregate():
                return self._aggregate(expr), _ATOM
            case Call(op=op, args=args) if op in _UNSAID:
                return self._written(args[0])
            case Call():
                return self._call(expr)

    def _field(self, ref: FieldRef) -> str:
        label = self._own if ref.step is None else self._rule.steps[ref.step].label
        front = f"{label}." if label else ""
        if ref.derived is None or ref.derived.aggregate is not None:
            return front + ".".join(ref.path)
        values = ", ".join(front + self.text(part, _OR) for part in ref.derived.reads)
        return f"first_seen({values}, over = {duration_text(ref.derived.shape.size_ms)})"

    def _aggregate(self, found: Aggregate) -> str:
        label = "" if found.step == WINDOW else self._rule.steps[found.step].label
        value = _dotted(label, found.path or ())
        if found.value is not None:
            value = _Writer(self._rule, label).text(found.value, _OR)
        match found.function:
            case "nth":
                return _dotted(f"{label}[{int(found.parameter or 0)}]", found.path or ())
            case "first" | "last" | "prev" if label and found.path is not None:
                return _dotted(f"{found.function}({label})", found.path)
            case "list" if label and found.path is not None:
                return value
            case "quantile" | "top" if found.parameter is not None:
                return f"{found.function}({value}, {found.parameter:g})"
        return f"{found.function}({value})"

    def _call(self, call: Call) -> tuple[str, int]:
        args = call.args
        if call.op in _INFIX:
            sign, level = _INFIX[call.op]
            texts = [self.text(arg, level if not n else level + 1) for n, arg in enumerate(args)]
            if level in (_OR, _AND):
                texts = [self.text(arg, level) for arg in args]
            return f" {sign} ".join(texts), level
        match call.op:
            case "not":
                return f"not {self.text(args[0], _TEST)}", _NOT
            case "neg":
                return f"-{self.text(args[0], _ATOM)}", _PRODUCT
            case "is_null":
                return f"{self.text(args[0], _SUM)} is null", _TEST
            case "exists":
                return f"exists {self.text(args[0], _SUM)}", _TEST
            case "regex":
                pattern = args[1].value if isinstance(args[1], Const) else ""
                return f"{self.text(args[0], _SUM)} =~ /{pattern}/", _TEST
            case "if":
                condition, then, otherwise = (self.text(arg, _AND) for arg in args)
                return f"if {condition} then {then} else {otherwise}", _OR
            case "array":
                return f"[{self._list(args)}]", _ATOM
            case "item":
                return f"{self.text(args[0], _ATOM)}[{self.text(args[1], _OR)}]", _ATOM
            case "lookup":
                return f"{_raw(args[0])}[{self._list(args[2:])}]?.{_raw(args[1])}", _ATOM
            case "listed":
                return self._listed(call)
            case "registered":
                return f"{_raw(args[0])}({self._list(args[2:])})", _ATOM
        return f"{_NAMES.get(call.op, call.op)}({self._list(args)})", _ATOM

    def _listed(self, call: Call) -> tuple[str, int]:
        name, *key = call.args
        if len(key) == 1:
            return f"{self.text(key[0], _SUM)} in {_raw(name)}", _TEST
        return f"exists {_raw(name)}[{self._list(tuple(key))}]", _TEST

    def _list(self, exprs: tuple[Expr, ...]) -> str:
        return ", ".join(self.text(expr, _OR) for expr in exprs)


def literal_text(type: Type, value: object) -> str:
    """A value as a rule would write it; texts have quotes."""
    if isinstance(value, tuple):
        item = type.item or Type(Kind.STRING)
        return f"[{', '.join(literal_text(item, one) for one in value)}]"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    plain = shown(type, value)
    if value is not None and type.kind in _TEXT_LITERALS:
        return json.dumps(plain, ensure_ascii=False)
    return plain


def _dotted(front: str, path: Path) -> str:
    return ".".join([*([front] if front else []), *path])


def _raw(expr: Expr) -> str:
    return str(expr.value) if isinstance(expr, Const) else ""
