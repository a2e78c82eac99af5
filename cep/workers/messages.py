"""What a worker and its supervisor say to each other over their pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from cep.engine import Summary
from cep.intake import Intake
from cep.ports import DeadLetterRow


class Order(Enum):
    STOP = auto()
    RELOAD_TABLES = auto()


@dataclass(frozen=True, slots=True)
class Shown:
    """Detections that are committed, as whole lines."""

    lines: bytes


@dataclass(frozen=True, slots=True)
class Said:
    sentence: str


@dataclass(frozen=True, slots=True)
class Dead:
    """The first dead letters of a commit."""

    partition: str
    letters: Sequence[DeadLetterRow]


@dataclass(frozen=True, slots=True)
class Reading:
    """State is restored; so many records were read, and committed, since the worker was started."""

    records: int
    committed: int
    intake: Mapping[str, Intake]


@dataclass(frozen=True, slots=True)
class Ended:
    summaries: Sequence[Summary]


@dataclass(frozen=True, slots=True)
class Failed:
    """A named reason, which starting again does not cure."""

    reason: str
    exit_code: int


Message: TypeAlias = Shown | Said | Dead | Reading | Ended | Failed
