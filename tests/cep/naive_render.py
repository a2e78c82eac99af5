"""Rendering without any short cut: what the compiled renderer must equal to the byte.

Every field of every bound event is read by the plain reader, every expression evaluated, and the
body is one object given to the JSON library.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b

import orjson

from cep import limits
from cep.values import iso_time, json_value, text
from dsl.model import EventType, Expr, Rule, Template
from matcher.evaluate import Environment, evaluate
from matcher.matcher import Match
from matcher.record import Record, payload, read_line, record


def naive_id(rule: Rule, partition: str, match: Match) -> str:
    positions = [event.position for event in match.events]
    deadline_ms = match.at_ms if match.timer else None
    identity = (rule.name, rule.version, partition, match.key, positions, deadline_ms)
    return blake2b(orjson.dumps(identity), digest_size=16).hexdigest()


def naive_body(
    rule: Rule, events: Mapping[str, EventType], partition: str, match: Match, hidden_by: str | None
) -> bytes:
    environment = _environment(rule, events, match)
    fields: dict[str, object] = {}
    message = _fill(rule.message, environment, fields)
    for name, value in rule.attributes:
        if isinstance(value, Template):
            fields[name] = _fill(value, environment, {})
        else:
            fields[name] = _json(value, environment)
    severity = fields.get("severity")
    body: dict[str, object] = {
        "id": naive_id(rule, partition, match),
        "rule": rule.name,
        "version": rule.version,
        "key": {
            key.name: json_value(key.type, value)
            for key, value in zip(rule.keys, match.key, strict=True)
        },
        "at": iso_time(match.at_ms),
        "severity": severity if isinstance(severity, str) else rule.severity,
        "message": message,
        "fields": fields,
        "events": [
            {
                "step": rule.steps[event.step].label,
                "position": event.position,
                "event": orjson.Fragment(event.raw.strip()),
            }
            for event in match.events
        ],
    }
    if hidden_by is not None:
        body["suppressed_by"] = hidden_by
    return orjson.dumps(body, default=_digits)


def _environment(rule: Rule, events: Mapping[str, EventType], match: Match) -> Environment:
    bound: dict[int, list[Record]] = {}
    for event in match.events:
        declared = events[rule.steps[event.step].event]
        value = payload(read_line(event.raw), declared)
        bound.setdefault(event.step, []).append(record(declared, value, strict=False))
    return Environment(None, bound, match.key)


def _fill(template: Template, environment: Environment, fields: dict[str, object]) -> str:
    filled = ""
    for part in template.parts:
        if isinstance(part, str):
            filled += part
            continue
        fields[part.text] = _json(part.expr, environment)
        filled += text(part.expr.type, evaluate(part.expr, environment), part.spec)
    encoded = filled.encode("utf-8", "replace")
    if len(encoded) <= limits.MESSAGE_BYTES_MAX:
        return encoded.decode()
    return encoded[: limits.MESSAGE_BYTES_MAX - 3].decode("utf-8", "ignore") + "…"


def _json(expr: Expr, environment: Environment) -> object:
    return json_value(expr.type, evaluate(expr, environment))


def _digits(value: object) -> object:
    assert isinstance(value, Decimal)
    return orjson.Fragment(format(value, "f"))
