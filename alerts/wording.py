"""What a message says in words, for people: mail, chat and pagers show the same.

Nothing here escapes for a channel; but texts of events are shortened, control characters are shown
as `\\x1b`, and the whole is at most limits.TEXT_BYTES_MAX long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import orjson

from alerts import limits
from alerts.errors import SendError
from alerts.message import Episode, Kind, Notice, Subject, rfc3339
from alerts.reasons import Reason
from alerts.texts import cut, short, visible
from dsl.check.clauses import SEVERITIES

_WORDS = {
    Kind.REMINDER: "Still open",
    Kind.ESCALATION: "Not acknowledged",
    Kind.RESOLVED: "Resolved",
}
_TEST_LEAD = "This is a test message: somebody asked whether messages arrive here."


@dataclass(frozen=True, slots=True)
class Content:
    """`lines` are the events of one detection, or one line for each of several detections.

    `more` counts what is not shown of them, `facts` are (name, value).
    """

    lead: str
    note: str
    facts: tuple[tuple[str, str], ...]
    heading: str
    lines: tuple[str, ...]
    more: int
    link: str | None

    def as_text(self) -> str:
        parts = [self.lead]
        if self.note:
            parts += ["", self.note]
        if self.facts:
            parts += ["", *(f"{name}: {value}" for name, value in self.facts)]
        if self.lines or self.more:
            parts += ["", f"{self.heading}:", *(f"  {line}" for line in self.lines)]
        if self.more:
            parts.append(f"  … and {self.more} more")
        if self.link is not None:
            parts += ["", self.link]
        return "\n".join(parts) + "\n"


def content(notice: Notice, link: str | None) -> Content:
    """What `notice` says; raises `SendError` (UNSENDABLE) for a detection that is not JSON."""
    if len(notice.subjects) == 1 and not notice.left_out:
        (subject,) = notice.subjects
        detection = parsed(subject)
        facts, values = _facts_of_detection(subject), _values_of_detection(detection)
        heading, lines, more = "events", *_lines_of_events(detection)
    else:
        shown = notice.subjects[: limits.DETECTIONS_SHOWN_MAX]
        facts, values, heading = [], [], "detections"
        lines = [_line_of_detection(subject) for subject in shown]
        more = len(notice.subjects) - len(shown) + notice.left_out
    if notice.episode is not None:
        facts += _facts_of_episode(notice.episode, told={name for name, _ in facts})
    facts += values
    lead, note = _lead(notice), cut(visible(notice.note), limits.NOTE_CHARACTERS_MAX)
    address = None if link is None or notice.episode is None else alert_link(link, notice.episode)
    room = _Room(limits.TEXT_BYTES_MAX - 200)  # for what stands between the texts
    room.take(lead + note + (address or ""))
    fitting_facts = [fact for fact in facts if room.take(": \n".join(fact))]
    if len(fitting_facts) < len(facts):
        fitting_facts.append(("…", f"and {len(facts) - len(fitting_facts)} more"))
    fitting_lines = [line for line in lines if room.take(f"   {line}")]
    more += len(lines) - len(fitting_lines)
    return Content(lead, note, tuple(fitting_facts), heading, tuple(fitting_lines), more, address)


def thread_title(notice: Notice) -> str:
    """The same for every message of an alert; of a single detection its severity, rule, message."""
    if notice.episode is not None:
        one = notice.episode
        return f"[{one.severity}] {one.rule}: {one.title}".rstrip(": ")
    if notice.kind is Kind.TEST:
        return f"Test message to {notice.destination}"
    if len(notice.subjects) == 1 and not notice.left_out:
        (subject,) = notice.subjects
        message = _message(parsed(subject))
        return f"[{subject.severity}] {subject.rule}: {message}".rstrip(": ")
    rules = sorted({subject.rule for subject in notice.subjects})
    count = len(notice.subjects) + notice.left_out
    return f"{count} detections of {', '.join(rules)}"


def message_title(notice: Notice) -> str:
    """In one line what this message tells, for where messages are not shown as a thread."""
    if notice.kind in (Kind.DETECTION, Kind.GATHERED):
        return thread_title(replace(notice, episode=None))
    if notice.kind is Kind.TEST:
        return thread_title(notice)
    return f"{_WORDS[notice.kind]}: {thread_title(notice)}"


def alert_link(link: str, episode: Episode) -> str:
    """The page of an alert; it only shows, whoever opens it."""
    return f"{link}/alerts/{episode.id}"


def severity_of(notice: Notice) -> str:
    """The alert's, or the worst of its detections; `info` for a test."""
    if notice.episode is not None:
        return notice.episode.severity
    found = {subject.severity for subject in notice.subjects}
    return next((severity for severity in reversed(SEVERITIES) if severity in found), "info")


def parsed(subject: Subject) -> dict[str, object]:
    """The detection; raises `SendError` (UNSENDABLE) if it is not a JSON object."""
    try:
        value = orjson.loads(subject.body)
    except orjson.JSONDecodeError as error:
        raise SendError(Reason.UNSENDABLE, "the detection is not JSON") from error
    if not isinstance(value, dict):
        raise SendError(Reason.UNSENDABLE, "the detection is not a JSON object")
    return value


def key_text(detection: dict[str, object]) -> str:
    """`card_id=c1, host=h2`; empty without a key."""
    key = detection.get("key")
    if not isinstance(key, dict):
        return ""
    return short(", ".join(f"{name}={short(value)}" for name, value in key.items()))


# ---------------------------------------------------------------------------------- parts


def _message(detection: dict[str, object]) -> str:
    return str(detection.get("message") or "").strip()


class _Room:
    """How many bytes of a text are left."""

    def __init__(self, bytes_left: int) -> None:
        self._left = bytes_left

    def take(self, text: str) -> bool:
        """Whether `text` still fits, with the end of its line."""
        needed = len(text.encode("utf-8", "replace")) + 1
        if needed > self._left:
            return False
        self._left -= needed
        return True


def _lead(notice: Notice) -> str:
    if notice.kind is Kind.TEST:
        return _TEST_LEAD
    if notice.kind is Kind.DETECTION:
        text = str(parsed(notice.subjects[0]).get("message") or "")
    else:
        text = message_title(notice)
    text = cut(text.replace("\r\n", "\n"), limits.MESSAGE_CHARACTERS_MAX)
    return cut(visible(text, keep="\n"), limits.MESSAGE_CHARACTERS_MAX)


def _facts_of_detection(subject: Subject) -> list[tuple[str, str]]:
    return [
        ("rule", short(subject.rule)),
        ("severity", short(subject.severity)),
        ("at", rfc3339(subject.at_ms) or f"{subject.at_ms} ms"),
        ("detection", subject.detection_id),
    ]


def _values_of_detection(detection: dict[str, object]) -> list[tuple[str, str]]:
    parts = [detection.get(part) for part in ("key", "fields")]
    return [
        (short(name), short(value))
        for part in parts
        if isinstance(part, dict)
        for name, value in part.items()
    ]


def _facts_of_episode(episode: Episode, told: Iterable[str]) -> list[tuple[str, str]]:
    facts = [
        ("rule", short(episode.rule)),
        ("severity", short(episode.severity)),
        ("alert", short(episode.id)),
        ("state", short(episode.state)),
        ("opened", rfc3339(episode.opened_ms) or f"{episode.opened_ms} ms"),
        ("detections so far", str(episode.detections)),
    ]
    said = set(told) & {"rule", "severity"}  # of the detection itself
    return [(name, value) for name, value in facts if name not in said]


def _lines_of_events(detection: dict[str, object]) -> tuple[list[str], int]:
    """One line per event, and how many more there are."""
    events = detection.get("events")
    if not isinstance(events, list):
        return [], 0
    shown = events[: limits.EVENTS_SHOWN_MAX]
    lines = [
        f"{short(event.get('step'))} (position {short(event.get('position'))}): "
        f"{short(event.get('event'))}"
        for event in shown
        if isinstance(event, dict)
    ]
    return lines, len(events) - len(shown)


def _line_of_detection(subject: Subject) -> str:
    detection = parsed(subject)
    key = key_text(detection)
    at = rfc3339(subject.at_ms) or f"{subject.at_ms} ms"
    told = f"{at} [{subject.severity}] {subject.rule}: {_message(detection)}".rstrip(": ")
    return short(f"{told} ({key})" if key else told)
