"""NDJSON → columns: equal to the naive reader on good and on hostile bytes."""

from __future__ import annotations

import json
import math
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_spellings import spelled
from model_builders import event, field

from dsl.model import EventType, Kind
from matcher.batch import NULL
from matcher.decode import Decoded, Decoder
from matcher.record import BadEvent, read_event
from matcher.schema import Schema, leaves
from matcher.strings import Strings

PAYMENT = event(
    "Payment",
    field("user", "string"),
    field("amount", "decimal", scale=2),
    field("score", "float?"),
    field("count", "int?"),
    field("ok", "bool?"),
    field("status", "enum?", values=("approved", "declined")),
    field("ip", "ip?", source="net.ip"),
    field("span", "duration?"),
    field("geo", "record?", fields=(field("lat", "float", source="geo.lat"), field("n", "int?"))),
)
LOGIN = event("Login", field("user", "string?"), field("score", "string?"), field("ip", "string?"))
TICK = event("Tick", field("at", "timestamp", source="when"), time="at", discriminator="tick")
EVENTS = [PAYMENT, LOGIN, TICK]
TS = "2024-12-10T06:55:46Z"
TS_MS = 1_733_813_746_000


def decode(data: bytes, *events: EventType, first_position: int = 0) -> Decoded:
    return Decoder(Schema(events or EVENTS), Strings()).decode(data, first_position)


def payment(**fields: object) -> dict[str, object]:
    return {"type": "Payment", "ts": TS, "user": "u", "amount": 1, **fields}


def reason_for(line: bytes) -> str:
    decoded = decode(line + b"\n")
    assert len(decoded.batch) == 0
    (dead,) = decoded.dead
    assert dead.raw == line[:4096]
    return dead.reason


def rows_of(decoded: Decoded, schema: Schema, strings: Strings) -> list[tuple[object, ...]]:
    """(position, event name, ts, record) of each row, texts instead of codes."""
    rows: list[tuple[object, ...]] = []
    batch = decoded.batch
    for row in range(len(batch)):
        declared = schema.events[batch.event_type[row]]
        record = {}
        own = set()
        for leaf in leaves(declared):
            index = schema.column(declared.name, leaf.path)
            own.add(index)
            value = batch.columns[index][row].item()
            if value != value if leaf.type.kind is Kind.FLOAT else value == NULL:
                record[leaf.path] = None
            elif leaf.type.kind in (Kind.STRING, Kind.ENUM, Kind.IP):
                record[leaf.path] = strings.text(value)
            else:
                record[leaf.path] = value
        for index, column in enumerate(batch.columns):
            assert index in own or column[row] == NULL or np.isnan(column[row])
        rows.append((int(batch.position[row]), declared.name, int(batch.ts[row]), record))
    return rows


def assert_equals_naive(data: bytes, events: list[EventType]) -> None:
    schema, strings = Schema(events), Strings()
    decoder = Decoder(schema, strings)
    decoded = decoder.decode(data, 1000)
    by_discriminator = {each.discriminator: each for each in events}
    rows, dead, ignored, received = [], [], 0, 0
    for number, line in enumerate(data.split(b"\n")):
        raw = line.removesuffix(b"\r")
        if not raw.strip(b" \t\r"):
            continue
        received += 1
        try:
            found = read_event(by_discriminator, raw)
        except BadEvent as error:
            dead.append((1000 + number, str(error), raw[:4096]))
            continue
        if found is None:
            ignored += 1
            continue
        declared, ts, record = found
        own = {leaf.path for leaf in leaves(declared)}
        kept = {path: value for path, value in record.items() if path in own}
        rows.append((1000 + number, declared.name, ts, kept))
    assert rows_of(decoded, schema, strings) == rows
    assert [(d.position, d.reason, d.raw) for d in decoded.dead] == dead
    assert (decoded.received, decoded.ignored) == (received, ignored)
    again = decoder.decode(data, 1000)  # what is remembered of lines changes nothing
    assert rows_of(again, schema, strings) == rows
    assert again.dead == decoded.dead
    for row, (position, *_) in enumerate(rows):
        line = data.split(b"\n")[position - 1000].removesuffix(b"\r")
        assert decoded.batch.raw.line(row) == line


# ------------------------------------------------------------------------------ equal to naive

texts = st.one_of(
    st.sampled_from(["u", "", "approved", "declined", "10.0.0.1", "::1", "::FFFF:1.2.3.4", "x"]),
    st.text(max_size=5),
    st.text("aé\U0001f600\x00", min_size=6, max_size=40),  # of 8, 16 and more bytes
)
stamps = st.one_of(
    st.sampled_from(
        [
            TS,
            TS_MS,
            "2024-02-29 23:59:59.9999+02:00",
            "2023-02-29T00:00:00Z",
            "2024-12-10T06:55:46",
            "2024-12-10T06:55:46.5-0330",
            "2024-12-10T24:00:00Z",
            "0001-01-01T00:00:00+00:01",
            -62_135_596_800_001,
            1.5,
            "",
            "é024-12-10T06:55:46Z",
        ]
    ),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)
numbers = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**53, 10**25, 0.5, 1.005, 1e300, -0.0]),
    st.decimals(-1000, 1000, places=3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.one_of(st.none(), texts, stamps, numbers, st.booleans(), st.just([]), st.just({}))
amounts = st.one_of(
    numbers, numbers, st.sampled_from(["1.005", "-2", "1e2", ".5", "1_0", " 1", "nan"])
)


def mostly(wanted: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(wanted, wanted, wanted, wanted, st.none(), values)


good_numbers = st.integers(-(10**6), 10**6) | st.decimals(-1000, 1000, places=4).map(float)
good_stamps = st.sampled_from([TS, TS_MS, -1, "2024-02-29 23:59:59.9999+02:00"])
good_ints = st.integers(1 - 2**63, 2**63 - 1) | st.integers(-9, 9)
good_payments = st.fixed_dictionaries(
    {
        "type": st.just("Payment"),
        "ts": good_stamps,
        "user": texts,
        "amount": good_numbers | st.sampled_from(["1.005", "-2", "1e2", ".5"]),
    },
    optional={
        "score": st.floats(allow_nan=False, allow_infinity=False) | good_numbers,
        "count": good_ints | st.none(),
        "ok": st.booleans() | st.none(),
        "status": st.sampled_from(["approved", "declined", None]),
        "net": st.fixed_dictionaries(
            {}, optional={"ip": st.sampled_from(["::1", "10.0.0.1", "::FFFF:1.2.3.4", None])}
        ),
        "span": good_ints | st.none(),
        "geo": st.none() | st.fixed_dictionaries({"lat": good_numbers}, optional={"n": good_ints}),
        "extra": values,
    },
)
similar_keys = ["us", "users", "user ", "User", "ts2", "country_of_the_card", "lat", "ip", "é"]
with_other_keys = st.builds(
    lambda payment, others: {**others, **payment},
    good_payments,
    st.dictionaries(st.sampled_from(similar_keys), values, max_size=3),
)
objects = st.one_of(
    good_payments,
    good_payments,
    with_other_keys,
    st.fixed_dictionaries(
        {"type": st.just("Payment"), "ts": stamps, "user": texts, "amount": mostly(amounts)},
        optional={
            "score": mostly(numbers),
            "count": mostly(st.integers(-(2**63), 2**63)),
            "ok": mostly(st.booleans()),
            "status": mostly(st.sampled_from(["approved", "declined"])),
            "net": mostly(st.fixed_dictionaries({}, optional={"ip": mostly(texts)})),
            "span": mostly(st.integers(0, 10)),
            "geo": mostly(
                st.fixed_dictionaries({}, optional={"lat": mostly(numbers), "n": numbers})
            ),
            "extra": values,
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("Login"), "ts": stamps},
        optional={"user": mostly(texts), "score": mostly(texts), "ip": mostly(texts)},
    ),
    st.fixed_dictionaries({"type": st.just("tick"), "when": stamps}),
    st.fixed_dictionaries({"type": values}, optional={"ts": values}),
    st.fixed_dictionaries(
        {"specversion": mostly(st.just("1.0")), "type": mostly(st.just("Login"))},
        optional={
            "time": mostly(stamps),
            "data": mostly(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "ts": mostly(stamps),
                        "user": texts,
                        "type": texts,
                        "data": st.just({"ts": 1}),
                        "specversion": texts,
                    },
                )
            ),
            "ts": stamps,
        },
    ),
)
lines = st.lists(
    st.tuples(objects, st.booleans(), st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\n \n"])).map(
        lambda made: (
            json.dumps(made[0], ensure_ascii=made[1]).encode("utf-8", "surrogatepass")
            + made[2].encode()
        )
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(lines)
def test_columns_equal_the_naive_reader(data: bytes) -> None:
    assert_equals_naive(data, EVENTS)
    assert_equals_naive(data.removesuffix(b"\n"), [PAYMENT])


@settings(max_examples=300, deadline=None)
@given(st.lists(spelled(objects), max_size=6))
def test_columns_equal_the_naive_reader_however_json_is_written(written: list[bytes]) -> None:
    assert_equals_naive(b"\n".join(written), EVENTS)


@settings(max_examples=300, deadline=None)
@given(lines, st.data())
def test_columns_equal_the_naive_reader_on_hostile_bytes(data: bytes, draw: st.DataObject) -> None:
    mutated = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(mutated)))
        cut = draw.draw(st.integers(0, 3))
        junk = draw.draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [b"\n", b"{", b"}", b'"', b"\\", b"\xff", b"NaN", b"1e999", b"\\ud800", b"} {"]
                ),
            )
        )
        mutated[place : place + cut] = junk
    assert_equals_naive(bytes(mutated), EVENTS)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=5))
def test_any_bytes_are_accounted_for(pieces: list[bytes]) -> None:
    assert_equals_naive(b"\n".join(pieces), EVENTS)


@settings(max_examples=500, deadline=None)
@given(
    st.integers(0, 6),
    st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-1e9, max_value=1e9),
        st.integers(-(10**17), 10**17).map(lambda n: Decimal(n).scaleb(-7)),
        st.integers(-(10**6), 10**6).map(lambda n: Decimal(2 * n + 1) / 2 * Decimal("0.01")),
        st.integers(-(10**25), 10**25).map(lambda n: Decimal(n).scaleb(-20)),
    ),
)
def test_decimals_round_half_even_from_the_text(scale: int, number: Decimal) -> None:
    declared = event("P", field("x", "decimal", scale=scale))
    exact = int(number.scaleb(scale).to_integral_value(ROUND_HALF_EVEN))
    for text in (f"{number:f}", f'"{number:f}"', f"{number:E}"):
        line = f'{{"type":"P","ts":"{TS}","x":{text}}}'.encode()
        decoded = decode(line * 1, declared)
        column = decoded.batch.columns[-1]
        if abs(exact) < 2**53:
            assert column.tolist() == [exact]
        else:
            assert not len(column)


@settings(deadline=None)
@given(st.datetimes(), st.integers(-1439, 1439), st.integers(0, 9))
def test_offsets_and_fractions_are_read(moment: object, offset: int, digits: int) -> None:
    from datetime import UTC, datetime, timedelta

    assert isinstance(moment, datetime)
    fraction = f".{moment.microsecond:06d}000"[: digits + 1] if digits else ""
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    text = f"{moment:%Y}".zfill(4) + f"{moment:-%m-%dT%H:%M:%S}" + fraction + zone
    utc = moment.replace(microsecond=0, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    ms = utc // timedelta(milliseconds=1) - offset * 60_000 + int((fraction[1:] + "000")[:3])
    decoded = decode(json.dumps({"type": "tick", "when": text}).encode())
    in_range = -62_135_596_800_000 <= ms <= 253_402_300_799_999
    assert decoded.batch.ts.tolist() == ([ms] if in_range else [])


# ------------------------------------------------------------------------------ reasons


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"type":"Payment","ts":', "not JSON: Expecting value at character 23"),
        (b"[1]", "expected a JSON object, got array"),
        (b"17", "expected a JSON object, got number"),
        (b'{"ts":1}', 'no "type"'),
        (b'{"type":3}', '"type": expected string, got number'),
        (b'{"type":"Login"}', "field ts: missing, and not optional"),
        (b'{"type":"Login","ts":"soon"}', "field ts: 'soon' is not a timestamp"),
        (b'{"type":"Login","ts":NaN}', "NaN is not a number in JSON"),
        (b'{"type":"Login","ts":-Infinity}', "-Infinity is not a number in JSON"),
        (b'{"type":"Login","ts":1,"user":"\xff"}', "not UTF-8 at byte 31"),
        (
            b'{"type":"Login","ts":1} {"type":"Login","ts":1}',
            "not JSON: Extra data at character 24",
        ),
        (
            b'{"type":"Login","ts":1,"user":"\\ud800"}',
            "field user: half of a surrogate pair is not text",
        ),
    ],
)
def test_malformed_line_becomes_a_dead_letter(line: bytes, reason: str) -> None:
    assert reason_for(line) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"user": None}, "field user: missing, and not optional"),
        ({"user": 5}, "field user: expected string, got number"),
        ({"amount": "12,5"}, "field amount: '12,5' is not a number"),
        ({"amount": True}, "field amount: expected decimal, got bool"),
        (
            {"amount": 2**53},
            "field amount: decimal(2) holds less than 2**53 units of its last place",
        ),
        ({"count": 1.5}, "field count: expected int, got number"),
        ({"count": 2**63}, "field count: out of 64 bits"),
        ({"count": -(2**63)}, "field count: out of 64 bits"),
        ({"ok": "true"}, "field ok: expected bool, got string"),
        ({"status": "maybe"}, "field status: 'maybe' is not one of approved, declined"),
        ({"net": {"ip": "10.0.0.256"}}, "field ip: '10.0.0.256' is not an ip address"),
        ({"net": "x"}, "field ip: expected an object around 'ip', got string"),
        ({"geo": {}}, "field geo.lat: missing, and not optional"),
        ({"geo": 1}, "field geo: expected object, got number"),
        ({"geo": {"lat": "1"}}, "field geo.lat: expected float, got string"),
    ],
)
def test_wrong_field_becomes_a_dead_letter(fields: dict[str, object], reason: str) -> None:
    assert reason_for(json.dumps(payment(**fields)).encode()) == reason


def test_number_out_of_range_becomes_a_dead_letter() -> None:
    line = json.dumps(payment(score=0)).encode().replace(b'"score": 0', b'"score": 1e999')
    assert reason_for(line) == "field score: out of the range of float"


def test_depth_of_100000_becomes_a_dead_letter() -> None:
    line = b'{"type":"Login","ts":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert reason_for(line) == "nested deeper than 128 brackets"


def test_brackets_inside_strings_are_no_depth() -> None:
    line = json.dumps({"type": "Login", "ts": 1, "user": '[{\\"' * 500}).encode()
    assert len(decode(line).batch) == 1


def test_long_line_becomes_a_dead_letter_and_keeps_4_kib() -> None:
    line = json.dumps({"type": "Login", "ts": 1, "user": "x" * 10_000_000}).encode()
    assert reason_for(line) == f"event of {len(line)} bytes; at most 1048576 are read"


# ------------------------------------------------------------------------------ texts


def users(*written: str) -> list[str]:
    """The texts of users written so in JSON; equal texts have one code."""
    lines = [f'{{"type":"Login","ts":1,"user":"{text}"}}' for text in written]
    strings, schema = Strings(), Schema([LOGIN])
    batch = Decoder(schema, strings).decode("\n".join(lines).encode(), 0).batch
    codes = batch.columns[schema.column("Login", ("user",))].tolist()
    texts = [strings.text(code) for code in codes]
    assert len(set(texts)) == len(set(codes))
    return texts


def test_escapes_are_resolved() -> None:
    named = users("\\b\\f\\n\\r\\t", '\\"\\\\\\/')
    assert named == ["\b\f\n\r\t", '"\\/']
    assert users("\\u0000\\u0041\\u00e9\\u20AC\\uffff") == ["\0Aé€\uffff"]
    assert users("\\ud83d\\ude00", "\\uD83D\\uDE00!", "😀") == ["😀", "😀!", "😀"]


@pytest.mark.parametrize(
    "half", ["\\ud83d", "\\ude00\\ud83d", "\\ud83d\\u0041", "\\ud83d\\n", "\\udc00"]
)
def test_half_of_a_surrogate_pair_is_refused(half: str) -> None:
    for before in ("", "a" * 30):
        line = f'{{"type":"Login","ts":1,"user":"{before}{half}"}}'.encode()
        assert reason_for(line) == "field user: half of a surrogate pair is not text"


def test_spellings_of_one_text_have_one_code() -> None:
    assert users("Zürich", "Z\\u00fcrich", "\\u005a\\u00FCrich") == ["Zürich"] * 3
    long = "x" * 16 + "é"
    assert users(long, "x" * 16 + "\\u00e9", "\\u0078" * 16 + "é") == [long] * 3


def test_addresses_have_one_code_however_they_are_written() -> None:
    written = [
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "2001:DB8::1",
        "2001:db8:0::1",
        "10.0.0.1",
        "1.2.3.04",
    ]
    lines = [json.dumps(payment(net={"ip": address})) for address in written]
    strings, schema = Strings(), Schema([PAYMENT])
    decoder = Decoder(schema, strings)
    for _ in range(2):  # known spellings, too
        decoded = decoder.decode("\n".join(lines).encode(), 0)
        codes = decoded.batch.columns[schema.column("Payment", ("ip",))].tolist()
        texts = [strings.text(code) for code in codes]
        assert texts == ["10.0.0.1", "10.0.0.1", "2001:db8::1", "2001:db8::1", "10.0.0.1"]
        assert codes[0] == codes[1] == codes[4]
        assert [dead.position for dead in decoded.dead] == [5]


def test_a_text_of_another_field_is_no_address_and_no_value() -> None:
    lines = [
        payment(user="nowhere", status="approved", net={"ip": "10.0.0.1"}),
        payment(user="10.0.0.1", status="nowhere"),
        payment(user="approved", net={"ip": "nowhere"}),
    ]
    decoded = decode("\n".join(map(json.dumps, lines)).encode())
    assert [dead.position for dead in decoded.dead] == [1, 2]


def test_texts_of_every_length_are_told_apart() -> None:
    """Across the bounds of words, across many blocks of lines, and while the tables grow."""
    made = ["x" * (i % 37) + str(i) + "y" * (i % 23) for i in range(20_000)]
    assert users(*made, *made) == made * 2


def test_codes_do_not_depend_on_where_texts_are_kept() -> None:
    made = [f"t{i}" for i in range(5_000)]
    first, second = Strings(), Strings()
    assert first.interner.secret.tolist() != second.interner.secret.tolist()
    assert first.codes(made).tolist() == second.codes(made).tolist() == list(range(5_000))


# ------------------------------------------------------------------------------ habits


def logins(lines: list[str]) -> list[str | None]:
    """The users of events that are all good."""
    strings, schema = Strings(), Schema([LOGIN])
    decoded = Decoder(schema, strings).decode("\n".join(lines).encode(), 0)
    assert (decoded.received, decoded.dead) == (len(lines), [])
    codes = decoded.batch.columns[schema.column("Login", ("user",))].tolist()
    return [None if code == NULL else strings.text(code) for code in codes]


def test_keys_that_begin_alike_are_told_apart() -> None:
    written = [
        '{"type":"Login","ts":1,"user":"a","users":"x"}',
        '{"type":"Login","ts":1,"users":"x","user":"b"}',
        '{"type":"Login","ts":1,"user" :"c"}',
        '{"type":"Login","ts":1,"user":  "d"}',
        '{"type":"Login","ts":1,"user": "e"}',
        '{"type":"Login","ts":1,"user":null}',
        '{"type":"Login","ts":1,"usex":"x"}',
        '{"type":"Login","ts":1}',
    ]
    expected = ["a", "b", "c", "d", "e", None, None, None]
    assert logins(written) == expected
    assert logins(written[::-1]) == expected[::-1]
    assert logins(written * 50) == expected * 50


def test_a_key_means_something_else_inside_of_another_object() -> None:
    written = [
        '{"type":"Login","ts":1,"user":"a"}',
        '{"type":"Login","ts":1,"net":{"user":"x"}}',
        '{"type":"Login","ts":1,"net":{"user":"x"},"user":"b"}',
        '{"type":"Login","net":{"type":"x","ts":2,"user":"x"},"ts":1,"user":"c"}',
        '{"specversion":"1.0","type":"Login","data":{"ts":1,"user":"d"},"user":"x"}',
        '{"specversion":"1.0","type":"Login","user":"x","data":{"user":"e","ts":1}}',
    ]
    expected = ["a", None, "b", "c", "d", "e"]
    assert logins(written) == expected
    assert logins(written[::-1]) == expected[::-1]
    assert logins(written * 50) == expected * 50


def test_a_key_written_twice_is_found_however_it_is_known() -> None:
    """The last one counts, as in other readers of JSON."""
    line = '{"type":"Login","ts":1,"user":"a"}'
    assert logins([line, line, line[:-1] + ',"user":"b"}', line]) == ["a", "a", "b", "a"]


# ------------------------------------------------------------------------------ positions


def test_blank_lines_keep_their_number_but_are_not_received() -> None:
    tick = json.dumps({"type": "tick", "when": 5}).encode()
    decoded = decode(b"\n" + tick + b"\r\n\r\n  \n" + tick, first_position=100)
    assert decoded.batch.position.tolist() == [101, 104]
    assert decoded.received == 2
    assert decoded.batch.raw.line(0) == decoded.batch.raw.line(1) == tick


def test_object_over_two_lines_does_not_shift_positions() -> None:
    tick = b'{"type":"tick","when":5}'
    decoded = decode(tick + b" " + tick + b'\n{"type":"tick",\n"when":5}\n' + tick)
    assert decoded.batch.position.tolist() == [3]
    assert [dead.position for dead in decoded.dead] == [0, 1, 2]


def test_bad_lines_leave_their_neighbours_alone() -> None:
    good = json.dumps(payment()).encode()
    bad = json.dumps(payment(amount="?")).encode()
    data = b"\n".join(bad if i % 1000 == 7 else good for i in range(4096))
    decoded = decode(data)
    assert [dead.position for dead in decoded.dead] == [7, 1007, 2007, 3007, 4007][
        : len(decoded.dead)
    ]
    assert len(decoded.batch) + len(decoded.dead) == decoded.received == 4096
    assert (np.diff(decoded.batch.position) > 0).all()


def test_types_no_rule_reads_are_ignored() -> None:
    decoded = decode(b'{"type":"Other","user":[]}\n{"type":"Login","ts":1}\n', LOGIN)
    assert (len(decoded.batch), decoded.ignored, decoded.dead) == (1, 1, [])


def test_empty_input_gives_an_empty_batch() -> None:
    decoded = decode(b"")
    assert len(decoded.batch) == decoded.received == 0
    assert len(decoded.batch.columns) == len(Schema(EVENTS).columns)


def test_event_without_time_becomes_a_dead_letter() -> None:
    decoded = decode(b'{"type":"E"}', event("E", field("x", "int?"), time=None))
    assert [dead.reason for dead in decoded.dead] == ["no event time"]


def test_cloudevents_envelope_is_opened() -> None:
    line = json.dumps(
        {"specversion": "1.0", "type": "Login", "time": TS, "data": {"user": "ann"}}
    ).encode()
    strings = Strings()
    schema = Schema([LOGIN])
    decoded = Decoder(schema, strings).decode(line, 0)
    assert decoded.batch.ts.tolist() == [TS_MS]
    (code,) = decoded.batch.columns[schema.column("Login", ("user",))].tolist()
    assert strings.text(code) == "ann"


def test_time_in_the_data_wins_over_the_time_of_the_envelope() -> None:
    envelope = {"data": {"ts": 7}, "time": TS, "type": "Login", "specversion": "1.0"}
    assert decode(json.dumps(envelope).encode(), LOGIN).batch.ts.tolist() == [7]


@pytest.mark.parametrize("kind", ["int", "duration"])
def test_ints_are_exact_in_all_64_bits(kind: str) -> None:
    values = [0, -1, -5, 7, 10**18, -(10**18), 2**53 + 1, 2**63 - 1, 1 - 2**63]
    bad = [2**63, -(2**63), 10**19, -(10**19), 10**30]
    declared = event("E", field("x", kind))
    lines = [json.dumps({"type": "E", "ts": -1, "x": value}).encode() for value in values + bad]
    decoded = decode(b"\n".join(lines), declared)
    assert decoded.batch.columns[-1].tolist() == values
    assert [dead.position for dead in decoded.dead] == list(range(len(values), len(lines)))


def test_floats_are_read_to_the_last_bit() -> None:
    values = [0.1, 1e-320, 1.7976931348623157e308, 5e-324, 123456789.123456789]
    data = b"\n".join(json.dumps(payment(score=value)).encode() for value in values)
    decoded = decode(data, PAYMENT)
    schema = Schema([PAYMENT])
    column = decoded.batch.columns[schema.column("Payment", ("score",))]
    assert column.tolist() == values
    assert all(math.isfinite(value) for value in column)
