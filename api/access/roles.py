"""What may be done, and which roles may do it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    READ = "read"
    TRY = "try"  # things that change nothing and cost something: tests, back-tests, explanations
    HANDLE = "handle"  # alerts and silences
    WRITE = "write"  # drafts
    DEPLOY = "deploy"  # what runs
    OPERATE = "operate"  # destinations and what waits for them
    INGEST = "ingest"
    ADMINISTER = "administer"  # keys, people, the audit


class Role(StrEnum):
    VIEWER = "viewer"
    ANALYST = "analyst"
    AUTHOR = "author"
    PUBLISHER = "publisher"
    INGEST = "ingest"
    ADMIN = "admin"


GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.ANALYST: frozenset({Permission.READ, Permission.TRY, Permission.HANDLE}),
    Role.AUTHOR: frozenset({Permission.READ, Permission.TRY, Permission.WRITE}),
    Role.PUBLISHER: frozenset(
        {
            Permission.READ,
            Permission.TRY,
            Permission.WRITE,
            Permission.DEPLOY,
            Permission.OPERATE,
        }
    ),
    Role.INGEST: frozenset({Permission.INGEST}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request; `authenticated` is false where the server asks nobody who they are."""

    name: str
    roles: tuple[Role, ...]
    authenticated: bool = True

    @property
    def permissions(self) -> frozenset[Permission]:
        return frozenset().union(*(GRANTS[role] for role in self.roles))


ANYBODY = Caller("anonymous", (Role.ADMIN,), authenticated=False)
"""Every caller of a server that has no authentication."""

RESERVED_NAMES = frozenset({"anonymous", "default", "route", "rule"})
"""Stand in histories for others than people."""


def roles_of(words: Iterable[object]) -> tuple[Role, ...]:
    """Those of `words` that are roles of this program."""
    known = set(Role)
    return tuple(Role(str(word)) for word in words if word in known)
