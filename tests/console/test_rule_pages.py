"""A rule from its first letter to the alert it opens, in a browser."""

from __future__ import annotations

import re

from console_site import Site
from playwright.sync_api import Page, expect

from api.console.graph import drawing

WRONG = """rule big "One big payment" {
  severity high
  by card
  match p: Payment[amount > hundred]
  alert "Card {card} paid {p.amount:.2f}"
}

test big "a big one" {
  at 0s  Payment {card: "c1", amount: 2000.0}
  expect at 0s 1 alert {card: "c1"}
}
"""


def test_a_rule_is_written_corrected_tested_deployed_and_fires(page: Page, site: Site) -> None:
    page.goto("/rules")
    page.get_by_role("link", name="New rule").click()
    text = page.get_by_label("Text of the rule")
    expect(page.locator("#checked")).to_contain_text("no problems")
    listened_to = "document.getElementById('text')['htmx-internal-data'] !== undefined"
    page.wait_for_function(listened_to)  # typed before that, it is checked with the next letter
    text.fill(WRONG)
    place = page.get_by_role("link", name=re.compile("line 4, column"))
    expect(place).to_be_visible()
    expect(page.locator("#checked")).to_contain_text("`Payment` has no field `hundred`")
    place.click()
    expect(text).to_be_focused()
    at = text.evaluate("text => text.selectionStart")
    assert WRONG[at:].startswith("hundred")
    text.fill(WRONG.replace("hundred", "1000.00"))
    expect(page.locator("#checked")).to_contain_text("no problems")
    expect(page.locator("#checked svg .box")).to_have_count(2)
    page.get_by_role("button", name="Run its tests").click()
    expect(page.get_by_role("region", name="Tests")).to_contain_text("passed")
    page.get_by_role("button", name="Format").click()
    expect(page.get_by_label("Text of the rule")).to_have_value(re.compile("1000.00"))
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_role("status")).to_have_text("The draft is saved.")
    page.goto("/editor?rule=big")
    expect(page.get_by_label("Text of the rule")).to_have_value(re.compile("1000.00"))
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("status")).to_have_text("Deployed.")
    expect(page.get_by_role("heading", level=1)).to_have_text("One big payment")
    assert site.get("/api/v1/drafts")["items"] == []

    page.goto("/alerts?state=&rule=big")
    expect(page.get_by_text("Live: new alerts appear")).to_be_visible()
    site.pay("spender", 2500)
    row = page.get_by_role("row").filter(has_text="Card spender paid 2500.00")
    expect(row).to_be_visible(timeout=20_000)
    row.get_by_role("button", name="Acknowledge").click()
    expect(row).to_contain_text("acknowledged")
    row.get_by_role("link", name="Card spender").click()
    messages = page.get_by_role("region", name="Messages")
    messages.get_by_role("link", name="desk").click()
    expect(page.locator(".facts")).to_contain_text("delivered")


def test_the_mode_of_a_rule_is_changed_and_seen(page: Page, site: Site) -> None:
    page.goto("/rules/escalation")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".facts")).to_contain_text("paused")
    assert site.get("/api/v1/rules/escalation")["mode"] == "paused"
    page.get_by_role("button", name="Live").click()
    expect(page.locator(".facts")).to_contain_text("live")


def test_a_rule_kept_in_a_file_says_where(page: Page, site: Site) -> None:
    page.goto("/editor?rule=escalation")
    text = page.get_by_label("Text of the rule")
    text.fill(text.input_value().replace("500.00", "600.00"))
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("alert")).to_contain_text("rules.cep")
    expect(page.get_by_label("Text of the rule")).to_have_value(re.compile("600.00"))


def test_a_pattern_is_drawn_from_left_to_right() -> None:
    def node(id_: int, kind: str = "step") -> dict[str, object]:
        texts = dict.fromkeys(("event", "condition", "repeat", "group"), "")
        return {"id": id_, "kind": kind, "name": f"n{id_}", **texts}

    def edge(start: int, end: int, *absent: str) -> dict[str, object]:
        return {"start": start, "end": end, "label": "", "absent": list(absent)}

    graph = {
        "nodes": [node(0), node(1), node(2), node(3, "match")],
        "edges": [edge(0, 1), edge(0, 2, "Quiet"), edge(1, 3), edge(2, 3), edge(2, 0)],
        "entries": [0],
        "within": "5m",
    }
    drawn = drawing(graph)
    assert drawn is not None
    first, second, other, match = drawn.boxes
    assert first.x < second.x == other.x < match.x
    assert second.y + second.height < other.y
    assert (first.is_entry, match.title) == (True, "match")
    assert drawn.said[1] == "n0, then n2, no Quiet"
    assert drawn.arrows[1].labels == ("no Quiet",)
    assert all(box.x + box.width < drawn.width for box in drawn.boxes)
    assert drawing(graph | {"nodes": [node(id_) for id_ in range(1000)]}) is None
