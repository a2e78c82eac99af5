"""The PagerDuty channel: Events API v2.

A message of an alert is a `trigger` or `resolve` with the alert's id as `dedup_key`, so PagerDuty
shows one incident for it.  The routing key is a secret: it is not in the kept bytes and goes in
when they are sent.

https://github.com/PagerDuty/developer-docs/blob/main/docs/events-API-v2/02-Trigger-Events.md
"""

from __future__ import annotations

import orjson

from alerts import limits
from alerts.attempt import Attempt, Surroundings
from alerts.credentials import readable
from alerts.destinations import PagerDutyDestination
from alerts.message import Kind, Notice, rfc3339
from alerts.posting import post
from alerts.reasons import Reason
from alerts.texts import cut, one_line
from alerts.wording import (
    Content,
    content,
    key_text,
    message_title,
    parsed,
    severity_of,
)

SEVERITIES = {
    "critical": "critical",
    "high": "error",
    "medium": "warning",
    "low": "info",
    "info": "info",
}


def render(notice: Notice, destination: PagerDutyDestination) -> bytes:
    """The event without its routing key; raises `SendError` (UNSENDABLE)."""
    event: dict[str, object] = {
        "event_action": "resolve" if notice.kind is Kind.RESOLVED else "trigger",
        "dedup_key": dedup_key(notice),
    }
    if notice.kind is not Kind.RESOLVED:
        said = content(notice, destination.link)
        event |= {"client": "cep", "payload": _payload(notice, said)}
        if said.link is not None:
            event["links"] = [{"href": said.link, "text": "The alert"}]
    return orjson.dumps(event)


async def send(attempt: Attempt, destination: PagerDutyDestination, around: Surroundings) -> Reason:
    key = orjson.dumps(destination.key())
    body = b'{"routing_key":' + key + b"," + attempt.body[1:]
    headers = {"content-type": "application/json"}
    return await post(attempt, destination, around, destination.url, headers, body)


def secrets(destination: PagerDutyDestination) -> list[str]:
    return readable(destination.routing_key)


def dedup_key(notice: Notice) -> str:
    """What makes messages one incident: the alert; without one, the detection or the message."""
    if notice.episode is not None:
        return notice.episode.id
    return notice.subjects[0].detection_id if len(notice.subjects) == 1 else notice.id


def _payload(notice: Notice, said: Content) -> dict[str, object]:
    newest = notice.subjects[-1] if notice.subjects else None
    source = "" if newest is None else one_line(key_text(parsed(newest)))
    rule = notice.episode.rule if notice.episode else newest.rule if newest else ""
    payload = {
        "summary": cut(one_line(message_title(notice)), limits.PAGER_SUMMARY_CHARACTERS_MAX),
        "source": cut(source or "cep", limits.PAGER_SOURCE_CHARACTERS_MAX),
        "severity": SEVERITIES.get(severity_of(notice), "warning"),
        "timestamp": rfc3339(notice.created_ms if newest is None else newest.at_ms),
        "component": cut(one_line(rule), limits.PAGER_SOURCE_CHARACTERS_MAX),
        "class": str(notice.kind),
        "custom_details": _details(said),
    }
    return {name: value for name, value in payload.items() if value}


def _details(said: Content) -> dict[str, object]:
    details: dict[str, object] = {"message": said.lead}
    if said.note:
        details["note"] = said.note
    for name, value in said.facts:
        known = details.get(name)  # a field may be called like part of the key, or like a fact
        details[name] = value if known is None or known == value else f"{known}, {value}"
    if said.lines:
        details[f"{said.heading} shown"] = list(said.lines)
    if said.more:
        details[f"more {said.heading}"] = said.more
    return details
