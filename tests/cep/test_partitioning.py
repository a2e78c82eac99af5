"""Rules whose key does not decide the partition are refused, by name and with the reason."""

from __future__ import annotations

import pytest
from engine_cases import RULES

import cep
from cep.errors import UsageError
from cep.log.topics import Topic
from cep.partitioning import check_partitioned

EVENTS = """
event Login { ts: timestamp @time  user: string  ip: ip  device: string @path("meta.device") }
event Pay { ts: timestamp @time  user: string?  payer: string  amount: decimal(2)  at: int }
event Alarm { ts: timestamp @time  user: string  ip: ip }
table users { user: string @pk }
"""


def refusal(rules: str, key: str = "user") -> str:
    """What is said of the rules on a topic of two partitions; "" when they can be run."""
    rule_set = cep.compile(EVENTS + rules)
    check_partitioned(rule_set, Topic("t"))
    try:
        check_partitioned(rule_set, Topic("t", 2, key))
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "rule",
    [
        'by user match Login -> Pay within 1m alert "x"',
        'by user, ip match Login -> Login within 1m alert "x"',
        'by ip, user match Login[device is "a"] -> Login within 1m alert "x"',
        'by user match Login -> not Pay for 1m alert "x"',
        'by user match Login -> Login within 1m cancel on Pay alert "x"',
        'by user match Login fire once resolve on Pay alert "x"',
        'by user over Login window hopping 5m every 1m when count() >= 3 alert "x"',
        'by user match a: Login suppress by user for 5m alert "x"',
        'by user match a: Login suppress by ip, user for 5m alert "x"',
        'by user match Login suppress for 5m alert "x"',
    ],
)
def test_key_that_decides_the_partition_is_accepted(rule: str) -> None:
    assert refusal(f"rule r {{ {rule} }}") == ""


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ('match Login -> Pay within 1m alert "x"', "rule r (no key): its key needs the field user"),
        ('by ip match Login alert "x"', "rule r (by ip): its key needs the field user, in Login"),
        (
            'by user match Login -> Pay by payer within 1m alert "x"',
            "rule r (by user): its key needs the field user, in Pay",
        ),
        (
            'by user match Login -> Login within 1m cancel on Pay by payer alert "x"',
            "its key needs the field user, in Pay",
        ),
        (
            'by user, payer match a: Pay -> Pay by (payer, user) within 1m alert "x"',
            "in the same place for all its events",
        ),
        ('by user in users match not Login for 5m alert "x"', "its keys come from users"),
        ('by user match a: Login suppress by ip for 5m alert "x"', "suppresses by something"),
    ],
)
def test_other_rules_are_refused_by_name(rule: str, says: str) -> None:
    found = refusal(f'rule good {{ by user match Login alert "x" }}\nrule r {{ {rule} }}')
    assert says in found
    assert "topic t of 2 partitions by user" in found
    assert "rule good" not in found


def test_field_is_the_place_in_the_event_and_not_its_name() -> None:
    rule = 'rule r { by device match Login alert "x" }'
    assert refusal(rule, "meta.device") == ""
    assert "its key needs the field device, in Login" in refusal(rule, "device")


def test_one_amount_can_be_written_in_many_ways_and_is_no_key() -> None:
    rule = 'rule r { by amount match Pay alert "x" }'
    assert "needs the field amount" in refusal(rule, "amount")
    assert refusal('rule r { by at match Pay alert "x" }', "at") == ""


def test_facts_must_be_kept_by_the_key() -> None:
    def rules(by: str) -> str:
        return (
            f"feature usual = count(Login) by {by} window sliding 1h\n"
            'rule r { by user match Login[usual > 3] alert "x" }'
        )

    assert refusal(rules("user")) == ""
    assert refusal(rules("ip, user")) == ""
    assert "the fact Login.usual is not kept by user" in refusal(rules("ip"))


@pytest.mark.parametrize(
    ("value", "accepted"),
    [("user", True), ("a.user", True), ("a.device", False), ('"all"', False)],
)
def test_emitted_events_carry_the_key_on(value: str, accepted: bool) -> None:
    found = refusal(
        f"rule first {{ by user match a: Login emit Alarm {{ user: {value}, ip: a.ip }} }}\n"
        'rule second { by user match Alarm -> Alarm within 1h alert "x" }'
    )
    assert (found == "") is accepted
    assert accepted or "rule second (by user): its key needs the field user, in Alarm" in found


def test_all_that_cannot_be_run_is_told_at_once() -> None:
    with pytest.raises(UsageError) as error:
        check_partitioned(cep.compile(RULES), Topic("events", 4, "country"))
    assert str(error.value).count("\n  rule ") == 3
