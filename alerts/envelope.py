"""A message as one CloudEvents 1.0 envelope in JSON, for webhooks, files and standard output.

Of a detection, `data` is its JSON byte for byte as committed, and `id` is its id.  Of every other
kind, `data` holds the alert, why the message is sent, and such detections:

    {"note": "…", "alert": {…} | null, "detections": [{…}, …], "left_out": 0}

`alertid` and `sequence` are extension attributes.  CloudEvents wants a sequence that is in order as
text, hence the zeros in front; its meaning, the place among the messages of an alert to a
destination, is ours, hence no `sequencetype`.
"""

from __future__ import annotations

from urllib.parse import quote

import orjson

from alerts import limits
from alerts.message import Episode, Kind, Notice, Subject, rfc3339
from alerts.texts import visible
from alerts.wording import alert_link

TYPES = {
    Kind.DETECTION: "cep.detection.v1",
    Kind.GATHERED: "cep.detections.v1",
    Kind.REMINDER: "cep.alert.reminder.v1",
    Kind.ESCALATION: "cep.alert.escalation.v1",
    Kind.RESOLVED: "cep.alert.resolved.v1",
    Kind.TEST: "cep.test.v1",
}

assert set(TYPES) == set(Kind)


def envelope(notice: Notice, link: str | None) -> bytes:
    """The JSON; equal arguments give equal bytes.

    `source` and `id` together are unique, as CloudEvents asks; `time` is left out where RFC 3339
    cannot express it.
    """
    if notice.kind is Kind.DETECTION:
        (subject,) = notice.subjects
        return _of_detection(notice, subject)
    return _of_alert(notice, link)


def _of_detection(notice: Notice, subject: Subject) -> bytes:
    attributes = _attributes(
        notice,
        id_=subject.detection_id,
        source=f"/cep/rules/{quote(subject.rule, safe='')}",
        rule=subject.rule,
        severity=subject.severity,
        at_ms=subject.at_ms,  # event time
    )
    if notice.note:
        attributes["note"] = visible(notice.note)
    return _with_data(attributes, subject.body)


def _of_alert(notice: Notice, link: str | None) -> bytes:
    episode = notice.episode
    rules = {subject.rule for subject in notice.subjects}
    severities = {subject.severity for subject in notice.subjects}
    attributes = _attributes(
        notice,
        id_=notice.id,
        source="/cep" if episode is None else f"/cep/alerts/{quote(episode.id, safe='')}",
        rule=episode.rule if episode else rules.pop() if len(rules) == 1 else None,
        severity=episode.severity
        if episode
        else severities.pop()
        if len(severities) == 1
        else None,
        at_ms=notice.created_ms,  # wall clock
    )
    start = b'{"note":' + orjson.dumps(visible(notice.note)) + b',"alert":'
    start += orjson.dumps(None if episode is None else _alert(episode, link))
    fitting = _fitting(notice, len(orjson.dumps(attributes)) + len(start))
    left_out = notice.left_out + len(notice.subjects) - len(fitting)
    data = start + b',"detections":[' + b",".join(fitting) + b'],"left_out":%d}' % left_out
    return _with_data(attributes, data)


def _attributes(
    notice: Notice, *, id_: str, source: str, rule: str | None, severity: str | None, at_ms: int
) -> dict[str, str]:
    attributes = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": TYPES[notice.kind],
        "subject": rule,
        "severity": severity,
        "datacontenttype": "application/json",
        "time": rfc3339(at_ms),
    }
    if notice.episode is not None:
        attributes["alertid"] = notice.episode.id
        attributes["sequence"] = f"{notice.number:010d}"
    return {name: value for name, value in attributes.items() if value is not None}


def _alert(episode: Episode, link: str | None) -> dict[str, object]:
    alert: dict[str, object] = {
        "id": episode.id,
        "rule": episode.rule,
        "severity": episode.severity,
        "title": episode.title,
        "state": episode.state,
        "opened": rfc3339(episode.opened_ms),
        "detections": episode.detections,
    }
    if link is not None:
        alert["link"] = alert_link(link, episode)
    return alert


def _fitting(notice: Notice, used_bytes: int) -> list[bytes]:
    """The detections that fit, oldest first; one that is too large does not keep out the others."""
    room = limits.ENVELOPE_BYTES_MAX - used_bytes - 100  # the end of the message
    fitting = []
    for subject in notice.subjects:
        if len(subject.body) + 1 <= room:
            room -= len(subject.body) + 1
            fitting.append(subject.body)
    return fitting


def _with_data(attributes: dict[str, str], data: bytes) -> bytes:
    return orjson.dumps(attributes)[:-1] + b',"data":' + data + b"}"
