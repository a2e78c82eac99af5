"""`cep explain`: how near a rule came to a match on a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cep.errors import UsageError
from cep.load import load_text
from cep.log import open_log
from cep.why import Answer, why

RULES = """
event Pay   { ts: timestamp @time  card: string  user: string  amount: decimal } lateness 5s
event Login { ts: timestamp @time  card: string  user: string }
event Large { card: string  user: string  amount: decimal }

rule large {
  by card, user
  match p: Pay[amount > 100]
  alert "x"
  emit Large { card: card, user: user, amount: p.amount }
}
rule taken {
  by card, user
  match Login -> l: Large[amount > 500]
  within 1h
  alert "x"
}
rule jump {
  by card
  match a: Pay -> b: Pay[amount > 3 * usual]
  within 1h
  alert "x"
}
feature usual = avg(Pay.amount) by card window sliding 30d
"""


def answer(
    folder: Path, rule: str, events: list[dict[str, object]], last: int = 100, **key: str
) -> Answer:
    path = folder / "events.ndjson"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    log = open_log(str(path), follow=False)
    try:
        return why(load_text(RULES), rule, log, key, {}, last, lambda sentence: None)
    finally:
        log.close()


def pay(ts: int, amount: float, card: str = "c", user: str = "u") -> dict[str, object]:
    return {"type": "Pay", "ts": ts * 1000, "card": card, "user": user, "amount": amount}


def login(ts: int, card: str = "c", user: str = "u") -> dict[str, object]:
    return {"type": "Login", "ts": ts * 1000, "card": card, "user": user}


def test_a_rule_over_derived_events_is_told_with_what_the_others_emit(tmp_path: Path) -> None:
    events = [login(0), pay(1, 50), pay(2, 200), pay(9, 1)]
    (told,) = answer(tmp_path, "taken", events).told
    assert told.lines == (
        'card="c", user="u" reached step 1 of 2: Login at 1970-01-01T00:00:00.000Z',
        "  at 1970-01-01T00:00:02.000Z Large is no l: amount > 500 is false (amount = 200)",
        "  still waiting for l",
    )


def test_one_key_is_told_whatever_the_order_of_its_parts(tmp_path: Path) -> None:
    events = [login(0), login(1, "d"), login(2, "c", "v")]
    (told,) = answer(tmp_path, "taken", events, user="v", card="c").told
    assert told.key == ("c", "v")
    assert len(answer(tmp_path, "taken", events).told) == 3
    assert not answer(tmp_path, "taken", events, user="v", card="d").told


def test_facts_are_those_of_all_events(tmp_path: Path) -> None:
    (told,) = answer(tmp_path, "jump", [pay(0, 10), pay(1, 20), pay(2, 40)], card="c").told
    assert told.lines[1] == (
        "  at 1970-01-01T00:00:02.000Z Pay is no b: amount > 3 * usual is false "
        "(amount = 40, usual = 15)"
    )


def test_late_and_bad_events_are_left_out(tmp_path: Path) -> None:
    bad: dict[str, object] = {"type": "Login", "ts": "yesterday", "card": "c", "user": "u"}
    events = [pay(100, 1), login(90), bad, {"type": "Other"}, login(96)]
    (told,) = answer(tmp_path, "taken", events).told
    assert told.lines[0].endswith("Login at 1970-01-01T00:01:36.000Z")


def test_only_the_last_events_are_kept(tmp_path: Path) -> None:
    found = answer(tmp_path, "large", [pay(n, n) for n in range(50)], last=7)
    assert (found.events, found.left_out) == (7, 43)
    assert "1970-01-01T00:00:49.000Z" in "\n".join(found.told[0].lines)


@pytest.mark.parametrize(
    ("rule", "key", "reason"),
    [
        ("lage", {}, "did you mean large"),
        ("jump", {"user": "u"}, "--key card=…"),
        ("taken", {"user": "u"}, "--key card=… --key user=…"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tmp_path: Path, rule: str, key: dict[str, str], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        answer(tmp_path, rule, [], **key)


def test_the_command_prints_the_nearest_keys(tmp_path: Path) -> None:
    (tmp_path / "r.cep").write_text(RULES)
    lines = [pay(0, 5, "c"), pay(1, 99, "d"), pay(2, 300, "e")]
    (tmp_path / "e.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "cep.cli", "explain", tmp_path / "r.cep", "--rule", "large"]
    done = subprocess.run(
        [*map(str, command), "--from", str(tmp_path / "e.ndjson"), "--keys", "2"],
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )
    assert done.stdout.splitlines()[0].startswith('card="')
    assert "1 further key" in done.stderr
