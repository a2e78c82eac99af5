"""The webhook message: a CloudEvents 1.0 envelope, signed the Standard Webhooks way.

The body is rendered once and kept; `data` is the detection byte for byte as committed.  Each
attempt signs the same id and bytes anew, with the time of the attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import orjson
from standardwebhooks import Webhook

from alerts.message import Subject, rfc3339

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
EVENT_TYPE = "cep.detection.v1"


def render_webhook(subject: Subject) -> bytes:
    """The body; equal subjects give equal bytes.

    `source` and `id` together are unique, as CloudEvents asks; `time` is event time and is left out
    where RFC 3339 cannot express it.
    """
    attributes = {
        "specversion": "1.0",
        "id": subject.detection_id,
        "source": f"/cep/rules/{quote(subject.rule, safe='')}",
        "type": EVENT_TYPE,
        "subject": subject.rule,
        "severity": subject.severity,
        "datacontenttype": "application/json",
    }
    time = rfc3339(subject.at_ms)
    if time is not None:
        attributes["time"] = time
    return orjson.dumps(attributes)[:-1] + b',"data":' + subject.body + b"}"


def signed_headers(
    message_id: str, body: bytes, keys: Sequence[bytes], now_ms: int
) -> dict[str, str]:
    """The headers of one attempt; one signature per key, in the order of the keys."""
    at = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
    text = body.decode("utf-8")
    return {
        "content-type": CONTENT_TYPE,
        "user-agent": "cep",
        "accept-encoding": "identity",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, text) for key in keys),
    }
