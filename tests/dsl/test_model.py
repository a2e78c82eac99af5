"""What checked rules mean: the typed model of small texts."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from dsl import RuleError, compile_text, model
from dsl.model import (
    Aggregate,
    AnyOrder,
    Arrow,
    Bind,
    Call,
    Choice,
    Const,
    Contiguity,
    Expr,
    FieldRef,
    KeyRef,
    Kind,
    Link,
    Pattern,
    Placeholder,
    Repeat,
    Rule,
    RuleSet,
    Sequence,
    Silence,
    Skip,
    Type,
)
from dsl.operators import OPERATORS

SCHEMA = """
event Login "auth.login" { ts: timestamp @time  user: string  sid: string  ok: bool?  ip: ip
  geo: {lat: float, lon: float @path("place.longitude")}?  src: string @path("actor.source.id") }
event Payment { ts: timestamp @time  id: string @id  user: string  amount: decimal  fee: decimal(2)
  n: int  rate: float  took: duration  status: enum("approved", "declined") } lateness 30s idle 1m
event Logout { ts: timestamp @time  user: string  session: string }
"""


def rules(text: str) -> RuleSet:
    return compile_text(SCHEMA + text)


def rule(body: str) -> Rule:
    (found,) = rules(f"rule r {{ {body} }}").rules
    return found


def condition(text: str, event: str = "Payment") -> Expr:
    found = rule(f'match {event}[{text}] alert "x"').steps[0].condition
    assert found is not None
    return found


def show(expr: Any) -> str:
    """An expression as s-expression, for readable expectations."""
    if isinstance(expr, Const):
        kind = expr.type.kind.value
        return f"{expr.value!r}:{kind}{expr.type.scale or ''}"
    if isinstance(expr, FieldRef):
        return ".".join(([f"${expr.step}"] if expr.step is not None else []) + list(expr.path))
    if isinstance(expr, Aggregate):
        path = ".".join(expr.path or ())
        return f"{expr.function}({'own ' if expr.own else ''}${expr.step} {path})"
    if isinstance(expr, KeyRef):
        return f"key{expr.index}"
    scale = expr.type.scale if expr.op == "rescale" else ""
    return f"({expr.op}{scale} {' '.join(map(show, expr.args))})"


# ---------------------------------------------------------------------------------- events


def test_an_event_keeps_discriminator_roles_and_source_paths() -> None:
    events = rules("").events
    login, payment = events["Login"], events["Payment"]
    assert (login.discriminator, payment.discriminator) == ("auth.login", "Payment")
    assert (payment.time_field, payment.id_field) == ("ts", "id")
    assert (payment.lateness_ms, payment.idle_ms) == (30_000, 60_000)
    sources = {f.name: f.source for f in login.fields}
    assert sources["src"] == ("actor", "source", "id")
    geo = next(f for f in login.fields if f.name == "geo").type
    assert [f.source for f in geo.fields] == [("geo", "lat"), ("place", "longitude")]
    assert next(f for f in payment.fields if f.name == "amount").type == Type(Kind.DECIMAL, scale=4)


# ---------------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount > 5", "(gt amount 50000:decimal4)"),
        ("amount > 2.50", "(gt amount 25000:decimal4)"),
        ("amount == 1.234567", "(eq (rescale6 amount) 1234567:decimal6)"),
        ("amount > -0.5", "(gt amount -5000:decimal4)"),
        ("amount == 0.1234567890123456789", "(eq (to_float amount) 0.12345678901234568:float)"),
        ("fee < amount", "(lt (rescale4 fee) amount)"),
        ("n < amount", "(lt (rescale4 n) amount)"),
        ("n < rate", "(lt (to_float n) rate)"),
        ("n > 2.5", "(gt (to_float n) 2.5:float)"),
        ("rate > 2", "(gt rate 2.0:float)"),
        ("amount > 10 * fee", "(gt (to_float amount) (mul 10.0:float (to_float fee)))"),
        ("n / 2 > 1", "(gt (div (to_float n) 2.0:float) 1.0:float)"),
        ("n * 2 % 3 == 1", "(eq (mod (mul n 2:int) 3:int) 1:int)"),
        (
            "amount + 0.5 > fee - 1",
            "(gt (add amount 5000:decimal4) (rescale4 (sub fee 100:decimal2)))",
        ),
        ('status != "declined"', "(ne status 'declined':enum)"),
        ('status in ["approved"]', "(in status ('approved',):list)"),
        ("n in [1, 2]", "(in n (1, 2):list)"),
        ("n in [1, n + 1]", "(in n (array 1:int (add n 1:int)))"),
        ("n not in [1]", "(not (in n (1,):list))"),
        ("n between 1 and 2", "(and (ge n 1:int) (le n 2:int))"),
        ("user is null or exists user", "(or (is_null user) (exists user))"),
        ('user is "a"', "(is_same user 'a':string)"),
        ('user is not "a"', "(not (is_same user 'a':string))"),
        ("user is not null", "(exists user)"),
        ('user like "a%"', "(like user 'a%':string)"),
        (r"user =~ /a\/b/i", "(regex user '(?i)a/b':string)"),
        ('ts > "2024-01-01T00:00:00+01:00"', "(gt ts 1704063600000:timestamp)"),
        (
            "ts + 5m > ts and took * 2 > 1h",
            "(and (gt (add ts 300000:duration) ts) (gt (mul took 2:int) 3600000:duration))",
        ),
        ("ts - ts < took", "(lt (sub ts ts) took)"),
        ("if n > 1 then true else false", "(if (gt n 1:int) True:bool False:bool)"),
        (
            "abs(n) == 1 and round(amount) == 2.0",
            "(and (eq (abs n) 1:int) (eq (round (to_float amount)) 2.0:float))",
        ),
        ('lower(status) == "x"', "(eq (lower status) 'x':string)"),
        (
            "max(amount, fee, 1) > 2",
            "(gt (max2 (max2 amount (rescale4 fee)) 10000:decimal4) 20000:decimal4)",
        ),
        ("n > 1 and n < 2 and n != 3", "(and (and (gt n 1:int) (lt n 2:int)) (ne n 3:int))"),
    ],
)
def test_operands_are_brought_to_one_kind(text: str, expected: str) -> None:
    assert show(condition(text)) == expected


def test_addresses_networks_records_and_optional_fields() -> None:
    def login(text: str) -> str:
        return show(condition(text, "Login"))

    assert login('ip == "2001:DB8::1"') == "(eq ip '2001:db8::1':ip)"
    assert login('ip in ["10.0.0.0/8", "::1"]') == (
        "(or (in_cidr ip '10.0.0.0/8':string) (in ip ('::1',):list))"
    )
    assert login('in_cidr(ip, "10.0.0.0/8")') == "(in_cidr ip '10.0.0.0/8':string)"
    assert login("exists geo") == "(or (exists geo.lat) (exists geo.lon))"
    assert login("geo is null") == "(and (is_null geo.lat) (is_null geo.lon))"
    assert login("geo?.lat > 5") == login("geo.lat > 5") == "(gt geo.lat 5.0:float)"
    assert login("ok ?? false") == "(coalesce ok False:bool)"
    assert condition("geo.lat > 5", "Login").type.optional


def test_filters_are_inlined_through_each_other() -> None:
    found = rules(
        """filter big = Payment[amount > 5]  filter huge = big[amount > 50]
        rule r { match huge[n == 1] alert "x" }"""
    )
    (step,) = found.rules[0].steps
    assert step.event == "Payment"
    assert show(step.condition) == (
        "(and (and (gt amount 50000:decimal4) (gt amount 500000:decimal4)) (eq n 1:int))"
    )


# ---------------------------------------------------------------------------------- patterns

A, B, C = Bind(0), Bind(1), Bind(2)
TWICE = Repeat(B, 2, 2, True)


def arrow(sign: str = "->", least: int | None = None, most: int | None = None) -> Arrow:
    return Arrow(Contiguity(sign), least, most)


THEN = arrow()


def then(
    first: Pattern,
    to: Pattern | None,
    *absent: int,
    by: Arrow = THEN,
    lasting: int | None = None,
) -> Sequence:
    return Sequence(first, (Link(by, absent, to, lasting),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Login", A),
        ("Login -> Payment", then(A, B)),
        ("Login => Payment", then(A, B, by=arrow("=>"))),
        ("Login -[1s..2s]-> Payment", then(A, B, by=arrow("->", 1000, 2000))),
        ("Login -[..2s]=> Payment", then(A, B, by=arrow("=>", None, 2000))),
        ("Login{3,}", Repeat(A, 3, None, True)),
        ("Login{,4}? -> Payment", then(Repeat(A, 0, 4, False), B)),
        ("Login+ -> Payment?", then(Repeat(A, 1, None, True), Repeat(B, 0, 1, True))),
        ("Login{1}", A),
        ("Login -> not Logout -> Payment", then(A, C, 1)),
        ("Login -> not Logout -[..1s]-> Payment", then(A, C, 1, by=arrow("->", None, 1000))),
        ("Login -[..1s]-> not Logout -> Payment", then(A, C, 1, by=arrow("->", None, 1000))),
        ("Login -> not (Logout | Payment)", then(A, None, 1, 2)),
        ("Login -> not Logout -> not Payment -> Login", then(A, Bind(3), 1, 2)),
        ("Login -> not Logout for 8m", then(A, None, 1, lasting=8 * 60_000)),
        ("Login -> not Logout for 1m -> Payment", then(A, C, 1, lasting=60_000)),
        ("Login => not Logout", then(A, None, 1, by=arrow("=>"))),
        ("not Login for 1m -> Payment", then(Silence((0,), 60_000), B)),
        ("not (Login | Logout) for 1m", Silence((0, 1), 60_000)),
        ("Login{2,} gap 1s..2s", Repeat(A, 2, None, True, arrow("->", 1000, 2000))),
        ("Login+ consecutive until Payment", Repeat(A, 1, None, True, arrow("=>"), (1,))),
        ("Login{2,3}+", Repeat(A, 2, 3, True, possessive=True)),
        ("(Login -> Payment)+ until Logout", Repeat(then(A, B, 2), 1, None, True, until=(2,))),
        ("Login & Payment", AnyOrder((A, B), 2)),
        ("(Login & Payment{2}) & Logout?", AnyOrder((A, TWICE, Repeat(C, 0, 1, True)), 3)),
        ("2 of (Login, Payment | Logout)", AnyOrder((A, Choice((B, C))), 2)),
        ("1 of (Login, Payment) -> Logout", then(AnyOrder((A, B), 1), C)),
        ("(Login | Payment) -> Logout", then(Choice((A, B)), C)),
        ("(Login -> Payment){2} -> Logout", then(Repeat(then(A, B), 2, 2, True), C)),
    ],
)
def test_patterns_keep_their_shape(text: str, expected: object) -> None:
    assert rule(f'match {text} within 10m alert "x"').pattern == expected


def test_within_per_step_bounds_every_arrow() -> None:
    text = "Login{2} -[..1m]-> (Payment & Logout) -> not Login"
    found = rule(f'match {text} within 5m per step alert "x"')
    five, one = arrow("->", None, 300_000), arrow("->", None, 60_000)
    both = AnyOrder((B, C), 2, five)
    assert found.pattern == Sequence(
        Repeat(A, 2, 2, True, five),
        (Link(one, (), both), Link(THEN, (3,), None, 300_000)),
    )
    assert found.within_ms is None


def test_equality_between_steps_in_any_order_is_asked_by_whichever_comes_later() -> None:
    found = rule('match a: Login & b: Payment within 1m where a.user == b.user alert "x"')
    assert show(found.steps[0].condition) == "(or (eq count($1 ) 0:int) (eq user $1.user))"
    assert show(found.steps[1].condition) == "(or (eq count($0 ) 0:int) (eq $0.user user))"
    assert found.where is None


def test_steps_know_what_repeats_and_what_must_be_absent() -> None:
    text = (
        'match a: Login{2,} -> not n: Logout -> (b: Payment -> c: Payment){2} within 1h alert "x"'
    )
    steps = rule(text).steps
    assert [(s.alias, s.repeated, s.absent) for s in steps] == [
        ("a", True, False),
        ("n", False, True),
        ("b", True, False),
        ("c", True, False),
    ]


def test_conditions_reach_earlier_steps_and_aggregates_know_their_own_step() -> None:
    found = rule(
        """match p: Payment[sum(p.amount) < 100 and amount > 1]{3,}
             -> hit: Payment[amount > 10 * avg(p.amount) and user in p.user
                             and hit.n > first(p).n and count(p) > 2]
           within 10m alert "x" """
    )
    assert show(found.steps[0].condition) == (
        "(and (lt sum(own $0 amount) 1000000:decimal4) (gt amount 10000:decimal4))"
    )
    assert show(found.steps[1].condition) == (
        "(and (and (gt (to_float amount) (mul 10.0:float avg($0 amount))) (in user list($0 user)))"
        " (and (gt n first($0 n)) (gt count($0 ) 2:int)))"
    )


def test_an_absence_sees_earlier_steps_and_its_own_fields() -> None:
    found = rule(
        "match a: Login -> not n: Logout[user == a.user and n.session == a.sid] "
        '-> Payment within 5m alert "x"'
    )
    assert show(found.steps[1].condition) == "(and (eq user $0.user) (eq session $0.sid))"


def test_steps_without_alias_are_called_by_their_type() -> None:
    found = rule('match Login -> Payment[user == Login.user] within 5m alert "{Payment.n}"')
    assert show(found.steps[1].condition) == "(eq user $0.user)"


# ---------------------------------------------------------------------------------- rules


def test_keys_may_have_another_field_in_each_step() -> None:
    found = rule(
        """by session, who match l: Login by (sid, user) -> o: Logout by (session, user)
           within 5m where session == o.session alert "{who} {session}" """
    )
    assert [(k.name, k.type.kind) for k in found.keys] == [
        ("session", Kind.STRING),
        ("who", Kind.STRING),
    ]
    assert [s.key for s in found.steps] == [(("sid",), ("user",)), (("session",), ("user",))]
    assert [(s.event, s.key) for s in found.alphabet] == [
        ("Login", (("sid",), ("user",))),
        ("Logout", (("session",), ("user",))),
    ]
    assert found.where is not None
    assert show(found.where) == "(eq key0 $1.session)"
    assert [show(p.expr) for p in found.message.parts if isinstance(p, Placeholder)] == [
        "key1",
        "key0",
    ]


def test_over_limits_the_alphabet_and_every_step_in_it() -> None:
    found = rules(
        """filter good = Login[ok]
        rule r { by user over good, Payment match a: good => b: Login[sid == a.sid] => Payment
          within 5m alert "x" }"""
    ).rules[0]
    assert [(s.event, s.condition and show(s.condition)) for s in found.alphabet] == [
        ("Login", "ok"),
        ("Payment", None),
    ]
    assert [s.condition and show(s.condition) for s in found.steps] == [
        "ok",
        "(and ok (eq sid $0.sid))",
        None,
    ]


def test_equalities_in_where_move_into_the_later_step() -> None:
    found = rule(
        """match a: Login -> b: Payment[n > 1] -> c: Payment within 5m
           where a.user == b.user and b.fee == c.amount and c.n > b.n alert "x" """
    )
    assert show(found.steps[1].condition) == "(and (gt n 1:int) (eq $0.user user))"
    assert show(found.steps[2].condition) == "(eq (rescale4 $1.fee) amount)"
    assert found.where is not None
    assert show(found.where) == "(gt $2.n $1.n)"


def test_equalities_on_steps_that_may_be_missing_stay_in_where() -> None:
    found = rule(
        """match a: Login -> b: Payment? -> c: Logout within 5m
           where b.user == a.user alert "x" """
    )
    assert found.steps[1].condition is None
    assert found.where is not None
    assert show(found.where) == "(eq $1.user $0.user)"


def test_outputs_of_a_rule() -> None:
    found = rules(
        """rule r "Title" { severity critical  tags "a", "b"  doc "why"
          by user
          match p: Payment[n > 1] -> q: Payment within 5m
          after match no skip
          suppress for 1h
          alert "A {user}: {p.amount:.2f} {{x}} \\"q\\" {q.ts - p.ts}" {
            severity: if q.n > 5 then "high" else "low", dedup: "k/{user}", risk: q.n * 2 }
          notify "hook", "mail" }"""
    ).rules[0]
    assert (found.title, found.severity, found.tags, found.doc) == (
        "Title",
        "critical",
        ("a", "b"),
        "why",
    )
    assert (found.skip, found.within_ms, found.notify) == (Skip.NONE, 300_000, ("hook", "mail"))
    assert found.suppress is not None
    assert ([show(e) for e in found.suppress.by], found.suppress.for_ms) == (["key0"], 3_600_000)
    parts = [
        part if isinstance(part, str) else (show(part.expr), part.spec, part.text)
        for part in found.message.parts
    ]
    assert parts == [
        "A ",
        ("key0", "", "user"),
        ": ",
        ("$0.amount", ".2f", "p.amount"),
        ' {x} "q" ',
        ("(sub $1.ts $0.ts)", "", "q.ts - p.ts"),
    ]
    assert [name for name, _ in found.attributes] == ["severity", "dedup", "risk"]


def test_a_single_event_rule_reads_fields_by_bare_name() -> None:
    found = rule('match Payment[n > 1] where amount > 5 alert "{user} {status}"')
    assert found.where is not None
    assert show(found.where) == "(gt $0.amount 50000:decimal4)"
    assert found.keys == ()


# ---------------------------------------------------------------------------------- tests


def test_inline_tests_become_json_at_source_paths() -> None:
    found = rules(
        """rule r { by user match l: Login alert "x" }
        test r "title" {
          at 5s Login {user: "u", geo: {lat: 1.5, lon: 2}, src: "s", ok: null}
          advance 1m
          expect at 5s 1 alert {user: "u"} where l.sid is null
          expect no alert
        }"""
    ).tests[0]
    assert (found.rule, found.title) == ("r", "title")
    event, advance, expect, none = found.steps
    assert isinstance(event, model.TestEvent)
    assert event.at_ms == 5000
    assert event.value == {
        "user": "u",
        "geo": {"lat": 1.5},
        "place": {"longitude": 2},
        "actor": {"source": {"id": "s"}},
        "ok": None,
    }
    assert isinstance(advance, model.TestAdvance)
    assert advance.by_ms == 60_000
    assert isinstance(expect, model.TestExpect)
    assert (expect.at_ms, expect.count, expect.fields) == (5000, 1, {"user": "u"})
    assert expect.where is not None
    assert show(expect.where) == "(is_null $0.sid)"
    assert isinstance(none, model.TestExpect)
    assert (none.at_ms, none.count, none.fields, none.where) == (None, 0, {}, None)


def test_compile_text_raises_with_every_diagnostic() -> None:
    with pytest.raises(RuleError) as caught:
        compile_text(f'{SCHEMA}rule a {{ match Nope alert "x" }} rule b {{ match Login }}')
    assert [d.code for d in caught.value.diagnostics] == ["E010", "E062"]


def test_every_operator_the_checker_makes_is_in_the_catalogue() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (Path(__file__).parents[2] / "dsl/check").glob("*.py")
    )
    ops = set(re.findall(r'Call\([^"]*?"([a-z_0-9]+)"', source))
    assert {"eq", "in", "regex", "concat"} <= ops
    assert ops <= set(OPERATORS)


def test_no_call_in_the_model_is_unknown_to_the_catalogue() -> None:
    root = Path(__file__).parents[2]
    found = compile_text((root / "rules/monitoring/ssh.cep").read_text(encoding="utf-8"))
    pending: list[Any] = [*found.rules]
    while pending:
        value = pending.pop()
        if isinstance(value, tuple):
            pending.extend(value)
        elif is_dataclass(value):
            assert not isinstance(value, Call) or value.op in OPERATORS
            pending.extend(getattr(value, f.name) for f in fields(value))
