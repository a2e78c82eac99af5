"""Back-tests, and what administrators see, in a browser."""

from __future__ import annotations

from console_site import Site
from playwright.sync_api import Page, expect


def test_a_back_test_is_asked_for_watched_and_read(page: Page, site: Site) -> None:
    site.pay("again", 1, 900)
    site.alert_of("again")
    page.goto("/backtests")
    page.get_by_label("Rule", exact=True).select_option("escalation")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".facts")).to_contain_text("done", timeout=30_000)
    found = page.locator(".figures div").filter(has_text="Found").locator("dd")
    assert int(found.inner_text()) >= 1
    expect(page.get_by_role("region", name="Found")).to_contain_text("Card again: 1.00")


def test_administrators_add_people_and_read_what_was_changed(page: Page, site: Site) -> None:
    page.goto("/access")
    people = page.get_by_role("region", name="People")
    people.get_by_label("Name").fill("ada")
    people.get_by_label("Password").fill("short")
    people.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_contain_text("password")
    people.get_by_label("Name").fill("ada")
    people.get_by_label("Password").fill("long enough it is")
    people.get_by_role("button", name="Add").click()
    expect(people.get_by_role("row").filter(has_text="ada")).to_contain_text("viewer")
    keys = page.get_by_role("region", name="Keys of programs")
    keys.get_by_label("Name").fill("feeder")
    keys.get_by_label("Role").select_option("ingest")
    keys.get_by_role("button", name="Make").click()
    expect(page.get_by_role("status")).to_contain_text("cep_")
    page.goto("/audit")
    body = page.get_by_role("table")
    expect(body).to_contain_text("people")
    expect(body).not_to_contain_text("long enough")
