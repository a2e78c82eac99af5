"""What decides who is told: the configured destinations and routes, and the rules' tags."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.config import Destinations
from alerts.matching import TagsOf


def no_tags(rule: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Policy:
    destinations: Destinations
    tags_of: TagsOf = no_tags
