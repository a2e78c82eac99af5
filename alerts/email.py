"""The e-mail message: a fixed set of headers, a text part and a small HTML part.

Event data reaches the subject and the parts only, never another header.  In the subject, control
characters and the marks of encoded words are replaced, because Python's parser unfolds an encoded
word with a line break into a header of its own; then the finished message is parsed again and must
have exactly the headers it was given, or it is not sent.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime

import orjson

from alerts import limits
from alerts.config import SmtpDestination
from alerts.errors import SendError
from alerts.message import Subject, rfc3339
from alerts.reasons import Reason

# ASCII on the wire: neither SMTPUTF8 nor 8BITMIME is asked for.
_POLICY = policy.SMTP.clone(max_line_length=76, cte_type="7bit")
_SUBJECT_PLACE = "subject"
_HEADERS = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
)
_ENCODED_WORD = re.compile(r"=\s*\?|\?\s*=")


def render_email(subject: Subject, destination: SmtpDestination, created_ms: int) -> bytes:
    """The message as sent after DATA; equal arguments give equal bytes.

    Raises `SendError` (UNSENDABLE) when even a message with a plain subject has other headers than
    it should.
    """
    detection = _detection(subject)
    text, page = _text(subject, detection), _html(subject, detection)
    for title in (_title(subject, detection), f"Detection {subject.detection_id}"):
        message = _message(subject, destination, created_ms, title, text, page)
        if headers_are_as_given(message, destination, title):
            return message
    raise SendError(Reason.UNSENDABLE, "the message would have other headers than it was given")


def headers_are_as_given(message: bytes, destination: SmtpDestination, title: str) -> bool:
    """Parses the message again, raw and decoded, and compares its headers with what was asked."""
    raw = message_from_bytes(message, policy=policy.compat32)
    parsed = message_from_bytes(message, policy=policy.SMTP)
    if tuple(raw.keys()) != _HEADERS or tuple(parsed.keys()) != _HEADERS:
        return False
    return (
        str(parsed["Subject"]) == title
        and [address.addr_spec for address in parsed["To"].addresses] == list(destination.to)
        and [address.addr_spec for address in parsed["From"].addresses] == [destination.sender]
    )


def header_text(text: str) -> str:
    """`text` made safe for a header: one line, no control or format characters, no encoded word."""
    visible = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char
        for char in text
    )
    # Twice: taking white space out can bring the two characters together.
    plain = _ENCODED_WORD.sub(" ", " ".join(visible.split()))
    plain = " ".join(_ENCODED_WORD.sub(" ", plain).split())
    if len(plain) > limits.SUBJECT_CHARACTERS_MAX:
        plain = plain[: limits.SUBJECT_CHARACTERS_MAX - 1].rstrip() + "…"
    return plain


def _message(
    subject: Subject,
    destination: SmtpDestination,
    created_ms: int,
    title: str,
    text: str,
    page: str,
) -> bytes:
    message = EmailMessage(policy=_POLICY)
    message["From"] = destination.sender
    message["To"] = ", ".join(destination.to)
    message["Subject"] = _SUBJECT_PLACE
    message["Date"] = format_datetime(datetime.fromtimestamp(created_ms // 1000, tz=UTC))
    message["Message-ID"] = f"<{subject.detection_id}@{destination.sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(text)
    message.add_alternative(page, subtype="html")
    # The standard library would draw a random boundary: the same detection must be the same bytes.
    digest = hashlib.sha256(subject.detection_id.encode()).hexdigest()
    message.set_boundary(f"=_{digest[:40]}")
    # Python 3.11 loses spaces where it folds encoded words; the older `Header` does not.
    charset = "us-ascii" if title.isascii() else "utf-8"
    line = Header(title, charset, maxlinelen=76, header_name="Subject").encode(linesep="\r\n")
    place = f"\r\nSubject: {_SUBJECT_PLACE}\r\n".encode()
    return message.as_bytes().replace(place, f"\r\nSubject: {line}\r\n".encode(), 1)


# ---------------------------------------------------------------------------------- content


def _detection(subject: Subject) -> dict[str, object]:
    try:
        value = orjson.loads(subject.body)
    except orjson.JSONDecodeError as error:
        raise SendError(Reason.UNSENDABLE, "the detection is not JSON") from error
    if not isinstance(value, dict):
        raise SendError(Reason.UNSENDABLE, "the detection is not a JSON object")
    return value


def _title(subject: Subject, detection: dict[str, object]) -> str:
    message = str(detection.get("message") or "").strip()
    return header_text(f"[{subject.severity}] {subject.rule}: {message}".rstrip(": "))


def _facts(subject: Subject, detection: dict[str, object]) -> list[tuple[str, str]]:
    facts = [
        ("rule", subject.rule),
        ("severity", subject.severity),
        ("at", rfc3339(subject.at_ms) or f"{subject.at_ms} ms"),
    ]
    for part in ("key", "fields"):
        values = detection.get(part)
        if isinstance(values, dict):
            facts += [(str(name), _short(value)) for name, value in values.items()]
    return [*facts, ("detection", subject.detection_id)]


def _events(detection: dict[str, object]) -> tuple[list[str], int]:
    """One line per event, and how many more there are."""
    events = detection.get("events")
    if not isinstance(events, list):
        return [], 0
    shown = events[: limits.MAIL_EVENTS_MAX]
    lines = [
        f"{event.get('step')} (position {event.get('position')}): {_short(event.get('event'))}"
        for event in shown
        if isinstance(event, dict)
    ]
    return lines, len(events) - len(shown)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if len(text) > limits.MAIL_EVENT_CHARACTERS_MAX:
        text = text[: limits.MAIL_EVENT_CHARACTERS_MAX - 1] + "…"
    return _visible(text, keep="")


def _visible(text: str, keep: str) -> str:
    """Control characters as `\\x1b`, so that a mail reader in a terminal shows them harmlessly."""
    return "".join(
        char
        if char in keep or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
        else f"\\x{ord(char):02x}"
        for char in text
    )


def _headline(detection: dict[str, object]) -> str:
    text = str(detection.get("message") or "")
    if len(text) > limits.MAIL_MESSAGE_CHARACTERS_MAX:
        text = text[: limits.MAIL_MESSAGE_CHARACTERS_MAX - 1] + "…"
    return _visible(text.replace("\r\n", "\n"), keep="\n")


def _text(subject: Subject, detection: dict[str, object]) -> str:
    lines = [_headline(detection), ""]
    lines += [f"{name}: {value}" for name, value in _facts(subject, detection)]
    events, more = _events(detection)
    if events:
        lines += ["", "events:", *(f"  {line}" for line in events)]
    if more:
        lines.append(f"  … and {more} more")
    return "\n".join(lines) + "\n"


def _html(subject: Subject, detection: dict[str, object]) -> str:
    rows = "".join(
        f"<tr><th align=left>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>\n"
        for name, value in _facts(subject, detection)
    )
    events, more = _events(detection)
    items = "".join(f"<li><code>{html.escape(line)}</code></li>\n" for line in events)
    if more:
        items += f"<li>… and {more} more</li>\n"
    headline = html.escape(_headline(detection)).replace("\n", "<br>\n")
    return (
        "<!doctype html>\n<html><body>\n"
        f"<p><strong>{headline}</strong></p>\n<table>\n{rows}</table>\n"
        f"{f'<ol>{chr(10)}{items}</ol>{chr(10)}' if items else ''}"
        "</body></html>\n"
    )
