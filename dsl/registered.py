"""Functions written in Python that rules may call: `cep.function` puts them here.

A function is pure: its result depends on its arguments alone, so that replay gives the same alerts.
Where it raises, or gives something that is not of its type, the result is null and `failures`
counts it.  Values are Python's own: datetime for timestamp, timedelta for duration, str for ip.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dsl.limits import INTEGER_MAX
from dsl.model import Kind, Type

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
KINDS = (
    Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.STRING, Kind.TIMESTAMP, Kind.DURATION, Kind.IP,
)  # fmt: skip


@dataclass(slots=True)
class Registered:
    """`version` takes part in the versions of the rules that call the function."""

    name: str
    takes: tuple[Type, ...]
    gives: Type
    function: Callable[..., object]
    version: str
    failures: int = field(default=0, compare=False)

    def call(self, arguments: Sequence[object]) -> object:
        """The result for scalars as in `dsl.model`, none of them null; null where it fails."""
        try:
            given = map(_python, self.takes, arguments)
            result = self.function(*given)
            return None if result is None else _scalar(self.gives.kind, result)
        except Exception:  # whatever a function written by others may raise
            self.failures += 1
            return None


REGISTERED: dict[str, Registered] = {}
"""By the name rules call them; one namespace for the process."""


def register(
    name: str, takes: Sequence[str], gives: str, version: str, function: Callable[..., object]
) -> None:
    """Makes `function` known under `name`, in the place of an earlier one of that name.

    Raises ValueError for a name the language has already, and for types it does not pass.
    """
    from dsl.functions import RESERVED

    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a function")
    if name in RESERVED:
        raise ValueError(f"`{name}` is a function of the language")
    types = tuple(_type(kind) for kind in takes)
    REGISTERED[name] = Registered(name, types, _type(gives), function, version)


def _type(text: str) -> Type:
    known = {kind.value: kind for kind in KINDS}
    if text not in known:
        raise ValueError(f"unknown type {text!r}; it is one of {', '.join(known)}")
    return Type(known[text], optional=True)


def _python(type_: Type, scalar: object) -> object:
    if type_.kind is Kind.TIMESTAMP:
        return _EPOCH + int(scalar) * _MILLISECOND  # type: ignore[call-overload]  # ms
    if type_.kind is Kind.DURATION:
        return int(scalar) * _MILLISECOND  # type: ignore[call-overload]  # ms
    return scalar


def _scalar(kind: Kind, value: Any) -> object:
    """A result as a scalar of the type; raises for what is none."""
    match kind:
        case Kind.BOOL if isinstance(value, bool):
            return value
        case Kind.INT if isinstance(value, int) and not isinstance(value, bool):
            return _within(value)
        case Kind.FLOAT if isinstance(value, int | float) and not math.isnan(value):
            return float(value)
        case Kind.STRING if isinstance(value, str):
            value.encode("utf-8")  # half of a surrogate pair is not text
            return str(value)
        case Kind.TIMESTAMP if isinstance(value, datetime):
            aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return (aware - _EPOCH) // _MILLISECOND
        case Kind.DURATION if isinstance(value, timedelta):
            return value // _MILLISECOND
        case Kind.IP:
            address = ipaddress.ip_address(value)
            return str(getattr(address, "ipv4_mapped", None) or address)
    raise TypeError(f"{type(value).__name__} is no {kind.value}")


def _within(value: int) -> int:
    if abs(value) > INTEGER_MAX:
        raise OverflowError("out of 64 bits")
    return int(value)
