"""`cep.function`: functions in Python, called by rules in every place an expression may stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

import cep
from cep.errors import RulesError
from dsl.registered import REGISTERED

EVENT = "event E { ts: timestamp @time  k: string  s: string?  x: int?  d: decimal?  ip: ip? }\n"


@pytest.fixture(autouse=True)
def _own_functions() -> Iterator[None]:
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


def messages(rule: str, *events: dict[str, object]) -> list[str]:
    stream = [{"type": "E", "ts": 1000 * n, "k": "p", **event} for n, event in enumerate(events)]
    return [found.message for found in cep.detect(EVENT + rule, stream)]


def test_functions_stand_in_conditions_where_and_messages() -> None:
    @cep.function("vowels", takes=["string"], gives="int")
    def vowels(text: str) -> int:
        return sum(letter in "aeiou" for letter in text)

    rule = """
    rule r { by k match a: E[vowels(s) > 1] -> b: E[vowels(s) > vowels(a.s) and vowels(s + a.s) < 9]
      within 1m where vowels(b.s) - vowels(a.s) < 3 alert "{vowels(b.s)} {a.s}" }
    """
    found = messages(rule, {"s": "aa"}, {"s": "ae"}, {"s": None}, {"s": "aeiouaeiou"}, {"s": "aei"})
    assert found == ["3 aa"]
    assert cep.function_failures() == {"vowels": 0}


def test_each_distinct_argument_is_asked_about_once() -> None:
    asked: list[str] = []

    @cep.function("odd", takes=["string"], gives="bool")
    def odd(text: str) -> bool:
        asked.append(text)
        return len(text) % 2 == 1

    events: list[dict[str, object]] = [{"s": text} for text in ("a", "bb", "a", "a", "bb")]
    assert len(messages('rule r { by k match a: E[odd(s)] alert "x" }', *events)) == 3
    assert sorted(asked) == ["a", "bb"]


def test_a_function_that_fails_gives_null_and_is_counted() -> None:
    @cep.function("picky", takes=["int"], gives="int")
    def picky(number: int) -> object:
        if number == 1:
            raise RuntimeError("no")
        return {2: "two", 3: 2**70, 4: True, 5: None, 6: 60}[number]

    events: list[dict[str, object]] = [{"x": number} for number in (1, 2, 3, 4, 5, 6, 7)]
    rule = 'rule r { by k match a: E[picky(x) is null or picky(x) == 60] alert "{picky(a.x)}" }'
    assert messages(rule, *events) == ["null", "null", "null", "null", "null", "60", "null"]
    assert cep.function_failures()["picky"] == 5 + 5  # in the condition, and in the message


def test_values_are_pythons_own() -> None:
    seen: list[object] = []

    @cep.function("look", takes=["timestamp", "duration", "float", "ip"], gives="timestamp")
    def look(time: datetime, span: timedelta, number: float, address: str) -> datetime:
        seen.extend([time, span, number, address])
        return time + span

    rule = """
    rule r { by k match a: E[look(ts, 5m, d, ip) - ts == 5m] alert "{look(a.ts, 1s, 2, a.ip)}" }
    """
    assert messages(rule, {"d": 1.5, "ip": "::FFFF:10.0.0.1"}) == ["1970-01-01T00:00:01.000Z"]
    assert seen[:4] == [datetime(1970, 1, 1, tzinfo=UTC), timedelta(minutes=5), 1.5, "10.0.0.1"]


def test_arguments_are_checked_when_rules_are_compiled() -> None:
    cep.function("half", takes=["int"], gives="float")(lambda number: number / 2)
    with pytest.raises(RulesError) as caught:
        cep.compile(EVENT + 'rule r { by k match a: E[half(s) > 1 or half() > 1] alert "x" }')
    assert "`half` takes int, and this is string" in str(caught.value)
    assert "`half` takes 1 argument, not 0" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "takes", "gives", "says"),
    [
        ("lower", ["string"], "string", "function of the language"),
        ("count", ["int"], "int", "function of the language"),
        ("two words", ["int"], "int", "cannot be the name"),
        ("f", ["number"], "int", "unknown type"),
        ("f", ["int"], "list", "unknown type"),
    ],
)
def test_what_cannot_be_a_function_is_refused(
    name: str, takes: list[str], gives: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        cep.function(name, takes=takes, gives=gives)(lambda value: value)
    assert name not in REGISTERED


def test_a_new_version_of_a_function_is_a_new_version_of_its_rules() -> None:
    def version_with(version: str, made: Callable[..., object]) -> str:
        cep.function("f", takes=["int"], gives="int", version=version)(made)
        rules = cep.compile(EVENT + 'rule r { by k match a: E[f(x) == 1] alert "x" }')
        return rules.rules[0].version

    first = version_with("1", lambda x: x)
    assert version_with("1", lambda x: x) == first
    assert version_with("2", lambda x: x + 1) != first
