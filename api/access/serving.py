"""Whether a server asks who its callers are, and what it says when it first does so."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from sqlalchemy import Engine

from alerts.ports import SystemClock
from api.access import accounts
from cep.errors import UsageError


def authentication(host: str, wanted: bool | None, *, insecure_no_auth: bool) -> bool:
    """Raises `UsageError` for an open server that others can reach, unless its owner insists."""
    if insecure_no_auth and wanted:
        raise UsageError("--auth and --insecure-no-auth contradict each other")
    if insecure_no_auth or is_loopback(host):
        return bool(wanted)
    if wanted is False:
        raise UsageError(
            f"will not serve on {host} without authentication: anyone who can reach that address "
            "could read detections and change rules. Leave --no-auth out, or insist with "
            "--insecure-no-auth"
        )
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def greet(engine: Engine, say: Callable[[str], None]) -> None:
    """Makes the first key, and says it, this once."""
    made = accounts.first_key(engine, SystemClock().now_ms())
    if made is not None:
        say(f"the first administrator's key, shown only now: {made}")
