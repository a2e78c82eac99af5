"""The tree of errors of delivering.

    AlertsError
    ├── ConfigError    the destinations file cannot be used; every fault of it is listed
    ├── SecretError    a secret cannot be read or has the wrong form
    ├── SendError      a message got no answer, or was refused before it was taken
    ├── NotFound       there is no alert or silence with that id
    ├── Stale          the alert has changed since its reader saw it
    └── Refused        that cannot be done now, or makes no sense; the text says why

No text holds a secret's value or a URL; what a server said is redacted before it is kept.
"""

from __future__ import annotations

from alerts.reasons import Reason
from cep.errors import UsageError


class AlertsError(Exception):
    pass


class ConfigError(AlertsError, UsageError):
    """The command line stops with it, as with any request that makes no sense."""


class SecretError(AlertsError):
    """Names the place of the secret."""


class SendError(AlertsError):
    """`status` is the server's code when it gave one; `detail` is text of ours or its answer."""

    def __init__(self, reason: Reason, detail: str, status: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.status = status


class NotFound(AlertsError):
    pass


class Stale(AlertsError):
    pass


class Refused(AlertsError):
    pass
