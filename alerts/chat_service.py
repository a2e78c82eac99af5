"""A chat service as the package apprise knows it: its URL, checked, as an object that sends.

Apprise opens its own connections, so the rules of `alerts.network` do not hold for them.  What
would act on this machine is refused: services of the desktop and the system log, and every URL that
names a file to read.  The package is optional, and imported when it is needed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alerts.credentials import SecretReference
from alerts.errors import SecretError

if TYPE_CHECKING:
    import apprise

# Modules of apprise.plugins: a desktop, the system log, a lamp on USB; `macosx` runs a program, and
# `vapid` keeps its keys and receivers in files.
_LOCAL = frozenset({"blink1", "dbus", "glib", "gnome", "macosx", "syslog", "vapid", "windows"})


def open_service(url: SecretReference) -> apprise.NotifyBase:
    """Raises `SecretError` when there is no URL, or not one that may be used."""
    import apprise

    text = url.read()
    _keep_logs_quiet()
    asset = apprise.AppriseAsset(
        async_mode=False,
        service_timeout=0,  # the whole call is bounded by `alerts.threads`
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        pgp_autogen=False,
        pem_autogen=False,
        http_redirects=False,
    )
    service = apprise.Apprise.instantiate(text, asset=asset)
    if service is None:
        raise SecretError(f"the secret in {url} is not a URL that apprise can use")
    if type(service).__module__.split(".")[2] in _LOCAL or _names_a_file(service):
        raise SecretError(f"the URL in {url} would use files or programs of this machine")
    return service


def _keep_logs_quiet() -> None:
    """Lines of apprise hold parts of URLs, and so do those of the library beneath it.

    Apprise hands its own to whoever called it, even if nobody else sees them.
    """
    log = logging.getLogger("apprise")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def _names_a_file(service: apprise.NotifyBase) -> bool:
    """Templates and keys are attachments of the service, or of what it keeps its keys with."""
    import apprise

    held = list(vars(service).values())
    for one in list(held):
        if type(one).__module__.startswith("apprise.utils"):
            held += vars(one).values()
    return any(isinstance(one, apprise.AppriseAttachment) and len(one) > 0 for one in held)
