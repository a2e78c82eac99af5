"""The e-mail channel: a fixed set of headers, a text part and a small HTML part.

Messages of one alert are one thread: the same subject, and from the second on a reference to the
first, whose Message-ID is made of the alert's id.

Event data reaches the subject and the parts only, never another header.  In the subject, control
characters and the marks of encoded words are replaced, because Python's parser unfolds an encoded
word with a line break into a header of its own; then the finished message is parsed again and must
have exactly the headers it was given, or it is not sent.
"""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime

from alerts import limits
from alerts.attempt import Attempt, Surroundings
from alerts.credentials import readable
from alerts.destinations import SmtpDestination
from alerts.errors import SendError
from alerts.message import Kind, Notice
from alerts.reasons import Reason
from alerts.texts import cut, one_line
from alerts.wording import Content, content, thread_title

# ASCII on the wire: neither SMTPUTF8 nor 8BITMIME is asked for.
_POLICY = policy.SMTP.clone(max_line_length=76, cte_type="7bit")
_ENCODED_WORD = re.compile(r"=\s*\?|\?\s*=")
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_FIRST = ("From", "To", "Subject", "Date", "Message-ID")
_REPLY = ("In-Reply-To", "References")
_LAST = ("Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type")


@dataclass(frozen=True, slots=True)
class Thread:
    """`message_id` of a message and of the first one of its alert, if it is not that itself."""

    message_id: str
    root: str | None

    def headers(self) -> tuple[str, ...]:
        return (*_FIRST, *(() if self.root is None else _REPLY), *_LAST)


# ---------------------------------------------------------------------------------- channel


def render(notice: Notice, destination: SmtpDestination) -> bytes:
    """The message as sent after DATA; equal arguments give equal bytes.

    Raises `SendError` (UNSENDABLE) when even a message with a plain subject has other headers than
    it should.
    """
    said, thread = content(notice, destination.link), thread_of(notice, destination)
    for title in (header_text(thread_title(notice)), f"Message {notice.id}"):
        message = _message(notice, destination, thread, title, said)
        if headers_are_as_given(message, destination, thread, title):
            return message
    raise SendError(Reason.UNSENDABLE, "the message would have other headers than it was given")


async def send(attempt: Attempt, destination: SmtpDestination, around: Surroundings) -> Reason:
    attempt.recipients = dict(attempt.delivery.recipients)
    waiting = [who for who in destination.to if who not in attempt.recipients]
    if not waiting:
        return _reason_of_recipients(destination, attempt.recipients)
    password = None if destination.password is None else destination.password.read()
    answer = await around.smtp.send(destination, password, waiting, attempt.body)
    attempt.answer = answer.text.encode()
    for who in waiting:
        code, text = answer.refused.get(who, (250, ""))
        if code < 400:
            attempt.recipients[who] = "accepted"
        else:
            attempt.status = code
            attempt.error = f"{who}: {code} {text}"
            if code >= 500:
                attempt.recipients[who] = f"refused: {code}"
    return _reason_of_recipients(destination, attempt.recipients)


def secrets(destination: SmtpDestination) -> list[str]:
    return [] if destination.password is None else readable(destination.password)


def _reason_of_recipients(destination: SmtpDestination, recipients: dict[str, str]) -> Reason:
    accepted = sum(recipients.get(who) == "accepted" for who in destination.to)
    refused = sum(recipients.get(who, "").startswith("refused") for who in destination.to)
    if accepted + refused < len(destination.to):
        return Reason.RECIPIENTS_DEFERRED
    if accepted == 0:
        return Reason.RECIPIENTS_REFUSED
    return Reason.DELIVERED if refused == 0 else Reason.PARTLY_DELIVERED


# ---------------------------------------------------------------------------------- headers


def thread_of(notice: Notice, destination: SmtpDestination) -> Thread:
    """Where a message stands; the root of an alert is known before it is ever sent."""
    domain = destination.sender.partition("@")[2]
    if notice.episode is None:
        single = notice.kind is Kind.DETECTION
        return Thread(
            _message_id(notice.subjects[0].detection_id if single else notice.id, domain), None
        )
    where = hashlib.sha256(notice.destination.encode()).hexdigest()[:8]
    root = _message_id(notice.episode.id, domain, f".{where}")
    if notice.number == 1:
        return Thread(root, None)
    return Thread(_message_id(notice.id, domain), root)


def _message_id(id_: str, domain: str, more: str = "") -> str:
    if not _ID.fullmatch(id_):
        id_ = hashlib.sha256(id_.encode("utf-8", "replace")).hexdigest()[:32]
    return f"<{id_}{more}@{domain}>"


def headers_are_as_given(
    message: bytes, destination: SmtpDestination, thread: Thread, title: str
) -> bool:
    """Parses the message again, raw and decoded, and compares its headers with what was asked."""
    raw = message_from_bytes(message, policy=policy.compat32)
    parsed = message_from_bytes(message, policy=policy.SMTP)
    names = thread.headers()
    if tuple(raw.keys()) != names or tuple(parsed.keys()) != names:
        return False
    return (
        str(parsed["Subject"]) == title
        and [address.addr_spec for address in parsed["To"].addresses] == list(destination.to)
        and [address.addr_spec for address in parsed["From"].addresses] == [destination.sender]
        and raw["Message-ID"] == thread.message_id
        and all(raw[name] == thread.root for name in _REPLY)
    )


def header_text(text: str) -> str:
    """`text` made safe for a header: one line, no control or format characters, no encoded word."""
    # Twice: taking white space out can bring the two characters together.
    plain = _ENCODED_WORD.sub(" ", one_line(text))
    plain = " ".join(_ENCODED_WORD.sub(" ", plain).split())
    return cut(plain, limits.SUBJECT_CHARACTERS_MAX)


def _message(
    notice: Notice, destination: SmtpDestination, thread: Thread, title: str, said: Content
) -> bytes:
    # Python 3.11 loses spaces where it folds encoded words, and encodes long ids; these lines are
    # put in afterwards.  The older `Header` folds a subject right.
    charset = "us-ascii" if title.isascii() else "utf-8"
    subject = Header(title, charset, maxlinelen=76, header_name="Subject").encode(linesep="\r\n")
    later = {"Subject": subject, "Message-ID": thread.message_id}
    if thread.root is not None:
        later |= dict.fromkeys(_REPLY, thread.root)
    given = {
        "From": destination.sender,
        "To": ", ".join(destination.to),
        "Date": format_datetime(datetime.fromtimestamp(notice.created_ms // 1000, tz=UTC)),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    message = EmailMessage(policy=_POLICY)
    for name in thread.headers()[:-2]:  # the last two come with the content
        message[name] = given.get(name, "<a@b>")
    message.set_content(said.as_text())
    message.add_alternative(_html(said), subtype="html")
    # The standard library would draw a random boundary: the same notice must be the same bytes.
    message.set_boundary(f"=_{hashlib.sha256(notice.id.encode()).hexdigest()[:40]}")
    written = message.as_bytes()
    for name, value in later.items():
        place, line = f"\r\n{name}: <a@b>\r\n".encode(), f"\r\n{name}: {value}\r\n".encode()
        written = written.replace(place, line, 1)
    return written


# ---------------------------------------------------------------------------------- HTML


def _html(said: Content) -> str:
    rows = "".join(
        f"<tr><th align=left>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>\n"
        for name, value in said.facts
    )
    items = "".join(f"<li><code>{html.escape(line)}</code></li>\n" for line in said.lines)
    if said.more:
        items += f"<li>… and {said.more} more</li>\n"
    lead = html.escape(said.lead).replace("\n", "<br>\n")
    parts = [f"<p><strong>{lead}</strong></p>\n"]
    if said.note:
        parts.append(f"<p>{html.escape(said.note)}</p>\n")
    if rows:
        parts.append(f"<table>\n{rows}</table>\n")
    if items:
        parts.append(f"<p>{said.heading}:</p>\n<ol>\n{items}</ol>\n")
    if said.link is not None:
        address = html.escape(said.link)
        parts.append(f'<p><a href="{address}">{address}</a></p>\n')
    return "<!doctype html>\n<html><body>\n" + "".join(parts) + "</body></html>\n"
