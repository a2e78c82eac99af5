"""An alert from its arrival to its end, in a browser."""

from __future__ import annotations

import json
import re

from console_site import Site, wait_for
from playwright.sync_api import Page, expect


def test_an_alert_arrives_without_reloading_and_is_acknowledged_by_keys(
    page: Page, site: Site
) -> None:
    page.goto("/alerts")
    expect(page.get_by_text("Live: new alerts appear")).to_be_visible()
    site.pay("live-1", 1.5, 800)
    row = page.get_by_role("row").filter(has_text="live-1")
    expect(row).to_be_visible()
    expect(page.locator("#announce")).to_have_text(
        re.compile("New alert, high: Card live-1: 1.50, then 800.00")
    )
    while not row.evaluate("row => row.contains(document.activeElement)"):
        page.keyboard.press("j")
    page.keyboard.press("a")
    expect(row).to_have_count(0)  # the list is of open ones
    entry = site.get(f"/api/v1/alerts/{site.alert_of('live-1')['id']}")["history"][-1]
    assert (entry["action"], entry["by"]) == ("acknowledged", "console")


def test_the_page_of_an_alert_shows_its_evidence_and_who_was_told(page: Page, site: Site) -> None:
    site.pay("told", 2, 900)
    alert = site.alert_of("told")
    wait_for(lambda: any(json.loads(body)["alertid"] == alert["id"] for body in site.received))
    page.goto(f"/alerts/{alert['id']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Card told: 2.00, then 900.00")
    marks = page.locator(".timeline .mark")
    expect(marks).to_have_count(2)
    positions = [mark.bounding_box()["x"] for mark in marks.all()]  # type: ignore[index]
    assert positions[0] < positions[1]
    marks.nth(1).focus()
    expect(page.locator(".tip")).to_contain_text("amount 900")
    row = page.locator("#event-2")
    expect(row).to_have_class(re.compile("lit"))
    expect(row).to_contain_text("large")
    row.get_by_text("Raw").click()
    expect(row.locator("pre")).to_contain_text('"card": "told"')
    messages = page.get_by_role("region", name="Messages")
    expect(messages).to_contain_text("delivered")
    messages.get_by_role("link", name="desk").click()
    expect(page.get_by_role("region", name="Attempts")).to_contain_text("200")
    page.get_by_text("6 characters").click()
    expect(page.locator("pre")).to_have_text("thanks")


def test_people_act_on_an_alert_and_its_history_says_so(page: Page, site: Site) -> None:
    site.pay("acted", 3, 700)
    alert = site.alert_of("acted")["id"]
    page.goto("/you")
    page.get_by_label("Your name").fill("grace")
    page.get_by_role("button", name="Save").click()
    page.goto(f"/alerts/{alert}")
    page.get_by_label("Assign to").fill("ada")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("status")).to_have_text("Assigned.")
    page.locator("#text").fill("own card <b>bold</b>")
    page.get_by_role("button", name="Comment").click()
    page.get_by_label("Snooze for").select_option("1 day")
    page.get_by_role("button", name="Snooze").click()
    expect(page.get_by_text("snoozed", exact=True).first).to_be_visible()
    page.get_by_label("Resolve as").select_option("false positive")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    history = page.get_by_role("region", name="History")
    expect(history).to_contain_text("own card <b>bold</b>")
    found = site.get(f"/api/v1/alerts/{alert}")
    assert (found["assignee"], found["disposition"]) == ("ada", "false_positive")
    assert [(one["action"], one["by"]) for one in found["history"][1:]] == [
        (action, "grace") for action in ("assigned", "commented", "snoozed", "resolved")
    ]


def test_who_acts_on_what_somebody_else_changed_sees_it_first(page: Page, site: Site) -> None:
    site.pay("twice", 3, 700)
    alert = site.alert_of("twice")["id"]
    page.goto(f"/alerts/{alert}")
    other = page.context.new_page()
    other.goto(f"/alerts/{alert}")
    other.get_by_role("button", name="Acknowledge").click()
    expect(other.get_by_role("status")).to_have_text("Acknowledged.")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody has changed it meanwhile")
    expect(page.locator(".facts")).to_contain_text("acknowledged")
    assert site.get(f"/api/v1/alerts/{alert}")["state"] == "acknowledged"


def test_what_an_event_says_is_only_ever_text(page: Page, site: Site) -> None:
    note = "<script>document.title='owned'</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    site.pay("hostile", 1, 800, note=note)
    alert = site.alert_of("hostile")
    for path in ("/", "/alerts", f"/alerts/{alert['id']}", "/rules/escalation"):
        page.goto(path)
        expect(page.locator("main")).to_contain_text("onerror=alert(1)>{{ 7*7 }}")
        assert page.locator("main script, main img").count() == 0
        assert page.title() != "owned"
