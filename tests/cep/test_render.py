"""The compiled renderer says, byte for byte, what the naive one says."""

from __future__ import annotations

import json
from decimal import Decimal

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_render import naive_body, naive_id

from cep.detection_json import to_json
from cep.render import Renderer
from dsl.model import (
    Aggregate,
    Bind,
    Call,
    Const,
    EventType,
    Expr,
    Field,
    FieldRef,
    Key,
    KeyRef,
    Kind,
    Placeholder,
    Rule,
    Skip,
    Step,
    Template,
    Type,
)
from dsl.source import Span
from matcher.matcher import Match

SPAN = Span("", 0, 0)
STRING, INT = Type(Kind.STRING), Type(Kind.INT)
FIELDS = {
    "text": STRING,
    "severity": STRING,
    "level": Type(Kind.ENUM, values=("low", "high")),
    "flag": Type(Kind.BOOL),
    "count": INT,
    "ratio": Type(Kind.FLOAT),
    "amount": Type(Kind.DECIMAL, scale=2),
    "fine": Type(Kind.DECIMAL, scale=9),
    "when": Type(Kind.TIMESTAMP),
    "span": Type(Kind.DURATION),
    "ip": Type(Kind.IP),
    "tags": Type(Kind.LIST, item=STRING),
    "prices": Type(Kind.LIST, item=Type(Kind.DECIMAL, scale=2)),
}
GEO = Type(Kind.RECORD, fields=(Field("lat", Type(Kind.FLOAT), ("lat",)),))
EVENT = EventType(
    "E",
    "E",
    (*(Field(name, type, (name,)) for name, type in FIELDS.items()), Field("geo", GEO, ("geo",))),
    None,
    None,
    0,
    None,
    SPAN,
)
STEPS = tuple(
    Step(index, alias, "E", None, (), False, repeated, SPAN)
    for index, (alias, repeated) in enumerate((("a", True), ('"b"', False), (None, False)))
)

# ---------------------------------------------------------------------------------- strategies

TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "%s", "%", "{}", 'say "no"\\', "\n\t\x00", "é", "🙂" * 3, "low", "::1"]),
)
SCALARS: dict[Kind, st.SearchStrategy[object]] = {
    Kind.STRING: TEXTS,
    Kind.ENUM: st.sampled_from(["low", "high", "other"]),
    Kind.BOOL: st.booleans(),
    Kind.INT: st.integers(-(2**64), 2**64),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.DECIMAL: st.one_of(
        st.integers(-1000, 1000), st.sampled_from([0.5, 1.005, 1e-9, 1e-7, "2.675", 1e300])
    ),
    Kind.TIMESTAMP: st.integers(-(2**50), 2**50),
    Kind.DURATION: st.integers(-(10**10), 10**10),
    Kind.IP: st.sampled_from(["192.168.0.1", "2001:DB8::0:1", "::ffff:1.2.3.4", "nowhere"]),
    Kind.LIST: st.lists(st.one_of(TEXTS, st.integers(0, 9)), max_size=3),
}


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """The JSON of an event as a source may have written it; some of its fields do not fit."""
    value: dict[str, object] = {"type": "E", "other": draw(TEXTS)}
    for name, type in FIELDS.items():
        choice = draw(st.integers(0, 5))
        if choice:
            kind = type.kind if choice > 1 else Kind.STRING
            value[name] = draw(SCALARS[kind])
    if draw(st.booleans()):
        value["geo"] = draw(st.sampled_from([None, {}, {"lat": 1.5}, 3]))
    if draw(st.integers(0, 9)) == 0:
        value = {"specversion": "1.0", "type": "E", "data": value}
    spaces = draw(st.sampled_from(["", "", " ", "\t"]))
    return (spaces + json.dumps(value, ensure_ascii=draw(st.booleans())) + spaces).encode()


def field(name: str, step: int) -> Expr:
    return FieldRef(FIELDS[name], step, (name,), SPAN)


@st.composite
def expressions(draw: st.DrawFn, keys: tuple[Key, ...]) -> Expr:
    kind = draw(st.sampled_from(("key", "field", "field", "aggregate", "call", "const", "lat")))
    name = draw(st.sampled_from(sorted(FIELDS)))
    if kind == "key" and keys:
        index = draw(st.integers(0, len(keys) - 1))
        return KeyRef(keys[index].type, index, SPAN)
    if kind == "aggregate":
        function = draw(st.sampled_from(("count", "distinct", "first", "last", "list", "all")))
        if function == "all":
            return Aggregate(INT, "count", 0, None, False, SPAN)
        if function == "list" and FIELDS[name].kind is not Kind.LIST:
            return Aggregate(Type(Kind.LIST, item=FIELDS[name]), "list", 0, (name,), False, SPAN)
        counts = function in ("count", "distinct", "list")
        function = "count" if function == "list" else function
        return Aggregate(INT if counts else FIELDS[name], function, 0, (name,), False, SPAN)
    if kind == "call":
        return Call(INT, "coalesce", (field("count", 1), Const(INT, -1, SPAN)), SPAN)
    if kind == "const":
        return Const(STRING, draw(TEXTS), SPAN)
    if kind == "lat":
        return FieldRef(Type(Kind.FLOAT), 1, ("geo", "lat"), SPAN)
    return field(name, draw(st.integers(1, 2)))


@st.composite
def templates(draw: st.DrawFn, keys: tuple[Key, ...]) -> Template:
    parts: list[str | Placeholder] = []
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            parts.append(draw(TEXTS))
        else:
            spec = draw(st.sampled_from(("", "", "", ".2f", ">9", "d", ",", "999")))
            text = draw(st.sampled_from(("x", "y", "severity", "a.b", '"')))
            parts.append(Placeholder(draw(expressions(keys)), spec, text))
    if draw(st.integers(0, 9)) == 0:
        parts.append(draw(st.sampled_from(("x", "é"))) * 17_000)
    return Template(tuple(parts))


def rule_saying(
    message: Template,
    keys: tuple[Key, ...],
    attributes: tuple[tuple[str, Expr | Template], ...] = (),
) -> Rule:
    return Rule(
        name="r",
        title=None,
        severity="medium",
        tags=(),
        doc=None,
        keys=keys,
        alphabet=(),
        steps=STEPS,
        pattern=Bind(0),
        within_ms=None,
        where=None,
        skip=Skip.PAST_LAST,
        suppress=None,
        message=message,
        attributes=attributes,
        notify=(),
        version="0123456789abcdef",
        pattern_version="0" * 16,
        span=SPAN,
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kinds = draw(st.lists(st.sampled_from(("text", "count", "flag", "amount", "when")), max_size=3))
    keys = tuple(Key(f"{name}.{i}", FIELDS[name]) for i, name in enumerate(kinds))
    names = st.sampled_from(("x", "severity", "dedup"))
    values = st.one_of(templates(keys), expressions(keys))
    attributes = tuple(draw(st.lists(st.tuples(names, values), max_size=3)))
    return rule_saying(draw(templates(keys)), keys, attributes)


KEY_SCALARS: dict[Kind, st.SearchStrategy[object]] = {
    Kind.STRING: TEXTS,
    Kind.INT: st.integers(-(2**63) + 1, 2**63 - 1),
    Kind.BOOL: st.booleans(),
    Kind.DECIMAL: st.integers(-(2**53) + 1, 2**53 - 1),
    Kind.TIMESTAMP: st.integers(-(2**45), 2**45),
}


@st.composite
def matches(draw: st.DrawFn) -> Match:
    rule = draw(rules())
    raw = tuple(draw(st.lists(lines(), min_size=1, max_size=4)))
    first = draw(st.integers(0, 2**40))
    return Match(
        rule=rule,
        key=tuple(draw(KEY_SCALARS[key.type.kind]) for key in rule.keys),
        at_ms=draw(st.one_of(st.integers(-(2**47), 2**47), st.integers(-(2**61), 2**61))),
        phase=draw(st.integers(-1, 1)),
        by=first,
        steps=tuple(sorted(draw(st.integers(0, 2)) for _ in raw)),
        positions=tuple(range(first, first + 3 * len(raw), 3)),
        raw=raw,
    )


# --------------------------------------------------------------------------------------- claims


@settings(deadline=None, max_examples=300)
@given(match=matches(), hidden_by=st.sampled_from((None, None, "ab" * 16)))
def test_ids_and_bodies_are_those_of_the_naive_renderer(
    match: Match, hidden_by: str | None
) -> None:
    found = Renderer(match.rule, {"E": EVENT}, "p").render(match)
    found.suppressed_by = hidden_by
    assert found.id == naive_id(match.rule, "p", match)
    assert found.body == naive_body(match.rule, {"E": EVENT}, "p", match, hidden_by)


@settings(deadline=None, max_examples=100)
@given(match=matches(), hidden_by=st.sampled_from((None, "ab" * 16)))
def test_body_and_object_say_the_same(match: Match, hidden_by: str | None) -> None:
    found = Renderer(match.rule, {"E": EVENT}, "p").render(match)
    found.suppressed_by = hidden_by
    assert _loaded(found.body) == _loaded(to_json(found.detection))


def _loaded(body: bytes) -> object:
    return json.loads(body, parse_float=Decimal)


def test_body_is_made_once_and_events_are_read_only_when_something_is_said_of_them() -> None:
    template = Template((Placeholder(KeyRef(STRING, 0, SPAN), "", "user"),))
    rule = rule_saying(template, (Key("user", STRING),))
    not_json = Match(rule, ("ann",), 0, 0, 7, (0,), (7,), (b"<event>",))
    found = Renderer(rule, {"E": EVENT}, "p").render(not_json)
    assert found.body is found.row().body
    assert orjson.loads(found.body.replace(b"<event>", b"0"))["fields"] == {"user": "ann"}
