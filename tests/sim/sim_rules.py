"""The rules of the scenarios (`sim_scenarios`), each text over the events of `SCHEMA`."""

SCHEMA = """
event Pay { ts: timestamp @time  card: string  shop: string?  amount: decimal(2) } lateness 5s
event Login { ts: timestamp @time  card: string  ok: bool } lateness 5s
event Block { ts: timestamp @time  card: string } lateness 5s
event Unread { ts: timestamp @time }
event Risk { card: string  score: int }
"""
SEQUENCE = """
rule climb {
  by card
  match small: Pay[amount < 5]+ -> big: Pay[amount > 100 and amount > last(small).amount]
  within 40s
  alert "{card}: {count(small)} small, then {big.amount}" { total: sum(small.amount) }
}
"""
ANY_ORDER = """
rule signs {
  by card
  match (big: Pay[amount > 500] & Login[ok]) -> Pay[amount < 5]
  within 1m
  alert "{card} {big.amount}"
}
"""
ABSENCE = """
rule unblocked {
  by card
  match big: Pay[amount > 500] -> not Block for 6s
  alert "{card} is open after {big.amount}"
}
rule quiet {
  by card
  match not Pay for 9s -> back: Pay
  alert "{card} is back with {back.amount}"
}
"""
WINDOWS = """
rule much {
  by card
  over Pay window sliding 12s
  when count() >= 3
  resolve when count() < 2
  alert "{card}: {count()} of {sum(amount)}"
}
rule each {
  by card
  over Pay window tumbling 10s
  when sum(amount) > 100
  alert "{card}: {list(amount)}"
}
rule spree {
  by card
  over Pay, Login window session 4s cap 20s
  when count() >= 2
  alert "{card}: {count()}"
}
"""
FACTS = """
feature usual = avg(Pay.amount) by card window sliding 30s
feature failed = count(Login[not ok]) by card window sliding 30s
rule unusual {
  by card
  match p: Pay[amount > 2 * usual or first_seen(card, shop, over = 20s)]
  alert "{card} pays {p.amount}, {usual:.2f} as a rule, after {failed} failures"
}
"""
TABLES = """
table shops { shop: string @pk  owner: string }
list  watched: [string] = ["a"]
rule owned {
  by card
  match p: Pay[card in watched] -> q: Pay[exists shops[shop]]
  within 20s
  alert "{card}: {shops[p.shop]?.owner ?? 'nobody'}, then {shops[q.shop]?.owner ?? 'nobody'}"
}
"""
ROW_KEYS = """
table cards { card: string @pk  owner: string }
rule silent {
  by card in cards
  match not Pay for 8s
  fire once
  resolve on Pay
  alert "{card} of {cards[card]?.owner ?? 'nobody'}"
}
"""
DERIVED = """
rule large {
  by card
  match a: Pay[amount > 100]
  suppress by card for 20s
  alert "{card} {a.amount}"
  emit Risk {card, score: 40}
}
rule failing {
  by card
  match Login[not ok]
  emit Risk {card, score: 15}
}
rule risky {
  by card
  match a: Risk -> b: Risk[score >= 40]
  within 30s
  alert "{card}: {a.score} and {b.score}"
}
rule many {
  by card
  over Risk window sliding 20s
  when sum(score) > 60
  alert "{card}: {sum(score)}"
}
"""
POLICIES = """
rule once {
  by card
  match Pay[amount > 500]
  fire once
  resolve on Block
  alert "{card} spends"
}
rule pairs {
  by card
  match s: Pay[amount < 5] ->> b: Pay[amount > 100]
  within 30s
  matches all
  limit 2 runs
  cancel on Block
  alert "{s.amount} and {b.amount}"
}
rule late_close {
  by card
  match f: Pay{2,}
  within 12s
  fire close
  alert "{card}: {count(f)}"
}
rule overlapping {
  by card
  match here: Pay => there: Pay[shop is not here.shop]
  within 30s
  after match skip to last there
  alert "{here.shop} to {there.shop}"
}
"""
TOLD = """
rule told {
  by card
  match p: Pay[amount > 100]
  alert "{card} {p.amount}"
  notify %s
}
"""
HIDDEN = """
rule hidden {
  by card
  match p: Pay
  suppress by card for 10s
  alert "{card} {p.amount}"
}
"""
