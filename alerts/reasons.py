"""Why a delivery is where it is: every outcome of an attempt has a name, and each name a treatment.

`TREATMENT` is the whole retry policy as one table.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    GATHERING = "gathering"  # still takes detections in
    WAITING = "waiting"  # for an earlier message of its alert
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Reason(StrEnum):
    DELIVERED = "delivered"
    PARTLY_DELIVERED = "partly_delivered"  # some recipients refused for good
    RATE_LIMITED = "rate_limited"  # 429
    SERVER_ERROR = "server_error"  # 5xx, and statuses that mean nothing
    REDIRECT = "redirect"  # 3xx: never followed
    CLIENT_ERROR = "client_error"  # a 4xx that a change at the receiver can cure
    REFUSED = "refused"  # 400, 413, 415, 422: this message will never do
    GONE = "gone"  # 410: the receiver wants no more
    NETWORK = "network"  # no connection, no name, connection lost
    TIMEOUT = "timeout"
    BLOCKED = "blocked"  # the address or the URL is not one we may call
    AUTHENTICATION = "authentication"  # the mail server refused our credentials
    NOT_WRITTEN = "not_written"  # no such folder, disk full, nobody reads
    NOT_TAKEN = "not_taken"  # by a chat service, which says no more
    SECRET_UNAVAILABLE = "secret_unavailable"  # the variable or file is not there
    RECIPIENTS_DEFERRED = "recipients_deferred"  # some recipients: try again later
    RECIPIENTS_REFUSED = "recipients_refused"  # all recipients refused for good
    DESTINATION_UNKNOWN = "destination_unknown"  # not in the configuration
    DESTINATION_DISABLED = "destination_disabled"  # after a 410
    UNSENDABLE = "unsendable"  # no safe message can be rendered
    EXHAUSTED = "exhausted"  # every retry was used up
    INTERNAL = "internal"  # a fault of ours


class Treatment(StrEnum):
    DONE = "done"
    RETRY = "retry"  # on the schedule until it is exhausted
    RETRY_ONCE = "retry once"  # then dead
    DIE = "die"
    DISABLE = "disable"  # dead, and nothing more is sent to this destination


TREATMENT: dict[Reason, Treatment] = {
    Reason.DELIVERED: Treatment.DONE,
    Reason.PARTLY_DELIVERED: Treatment.DONE,
    Reason.RATE_LIMITED: Treatment.RETRY,
    Reason.SERVER_ERROR: Treatment.RETRY,
    Reason.REDIRECT: Treatment.RETRY,
    Reason.CLIENT_ERROR: Treatment.RETRY,
    Reason.REFUSED: Treatment.RETRY_ONCE,
    Reason.GONE: Treatment.DISABLE,
    Reason.NETWORK: Treatment.RETRY,
    Reason.TIMEOUT: Treatment.RETRY,
    Reason.BLOCKED: Treatment.RETRY_ONCE,
    Reason.AUTHENTICATION: Treatment.RETRY,
    Reason.NOT_WRITTEN: Treatment.RETRY,
    Reason.NOT_TAKEN: Treatment.RETRY,
    Reason.SECRET_UNAVAILABLE: Treatment.RETRY,
    Reason.RECIPIENTS_DEFERRED: Treatment.RETRY,
    Reason.RECIPIENTS_REFUSED: Treatment.DIE,
    Reason.DESTINATION_UNKNOWN: Treatment.DIE,
    Reason.DESTINATION_DISABLED: Treatment.DIE,
    Reason.UNSENDABLE: Treatment.DIE,
    Reason.EXHAUSTED: Treatment.DIE,
    Reason.INTERNAL: Treatment.RETRY,
}

UNFINISHED = (State.GATHERING, State.WAITING, State.PENDING)

assert set(TREATMENT) == set(Reason)

_BY_STATUS = {
    400: Reason.REFUSED,
    410: Reason.GONE,
    413: Reason.REFUSED,
    415: Reason.REFUSED,
    422: Reason.REFUSED,
    429: Reason.RATE_LIMITED,
}


def reason_of_status(status: int) -> Reason:
    """What an HTTP status says about the delivery."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 200 <= status < 300:
        return Reason.DELIVERED
    if 300 <= status < 400:
        return Reason.REDIRECT
    if 400 <= status < 500:
        return Reason.CLIENT_ERROR
    return Reason.SERVER_ERROR
