"""The chat channel: a title and a plain text to any service that the package apprise knows.

A name that a chat service would call (`@everyone`, `<!here>`) is broken by an unseen character:
events must not wake people by their text.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

import orjson

from alerts import limits
from alerts.attempt import Attempt, Surroundings
from alerts.chat_service import open_service
from alerts.credentials import readable
from alerts.destinations import AppriseDestination
from alerts.errors import SendError
from alerts.message import Kind, Notice
from alerts.reasons import Reason
from alerts.texts import cut, one_line
from alerts.threads import in_thread
from alerts.wording import content, message_title, severity_of

_CALL = re.compile(r"(?<!\w)@(?=\w)|<(?=[!@#&])")
_TYPES = {"critical": "failure", "high": "failure", "medium": "warning"}  # a colour or a symbol
_PART = re.compile(r"[^/?#&=:@,]{6,}")  # shorter ones are no secrets


def render(notice: Notice, destination: AppriseDestination) -> bytes:
    """Raises `SendError` (UNSENDABLE)."""
    resolved = notice.kind is Kind.RESOLVED
    said = content(notice, destination.link)
    end = "" if said.link is None else f"\n\n{said.link}"
    text = cut(replace(said, link=None).as_text().strip(), limits.CHAT_CHARACTERS_MAX - len(end))
    return orjson.dumps(
        {
            "title": plain(cut(one_line(message_title(notice)), limits.SUBJECT_CHARACTERS_MAX)),
            "body": plain(text) + end,
            "type": "success" if resolved else _TYPES.get(severity_of(notice), "info"),
        }
    )


def plain(text: str) -> str:
    """`text` that calls nobody; addresses of mail stay as they are."""
    return _CALL.sub(lambda found: f"{found[0]}\u200b", text)


async def send(attempt: Attempt, destination: AppriseDestination, around: Surroundings) -> Reason:
    message = orjson.loads(attempt.body)

    def notify() -> str | None:
        """What went wrong; None if the service took the message."""
        import apprise

        service = open_service(destination.url)
        if "overflow_mode" not in vars(service):  # as the URL says
            service.overflow_mode = apprise.OverflowMode.TRUNCATE
        sender = apprise.Apprise(asset=service.asset)
        sender.add(service)
        result = sender.notify(
            body=message["body"],
            title=message["title"],
            notify_type=message["type"],
            body_format=apprise.NotifyFormat.TEXT,
        )
        return None if result else "\n".join(entry.message for entry in result.logs())

    fault = await in_thread(attempt.delivery.destination, destination.timeout_ms, notify)
    if fault is None:
        return Reason.DELIVERED
    raise SendError(Reason.NOT_TAKEN, fault or "the service did not take the message")


def secrets(destination: AppriseDestination) -> list[str]:
    """The URL and its parts: tokens stand where other URLs have hosts, users and paths."""
    values = readable(destination.url)
    for url in list(values):
        parts = _PART.findall(url.partition("://")[2])
        values += [*parts, *(unquote(part) for part in parts)]
    return values
