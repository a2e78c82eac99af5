"""What holds for every page: names, headings, labels, width, headers, and no script is needed."""

from __future__ import annotations

import urllib.error
import urllib.request
from itertools import pairwise

import pytest
from console_site import Site
from playwright.sync_api import Browser, Page, expect

from api.console.forms import local
from api.console.page import NAVIGATION

PATHS = [entry.path for entry in NAVIGATION]

NAMELESS = """() => [...document.querySelectorAll("input, select, textarea, button, a[href]")]
  .filter((one) => one.type !== "hidden" && !one.closest("dialog"))
  .filter((one) => !one.labels?.length && !one.getAttribute("aria-label"))
  .filter((one) => !one.textContent.trim() || one.matches("select, textarea"))
  .map((one) => one.outerHTML)"""

LEVELS = """() => [...document.querySelectorAll("h1, h2, h3")]
  .filter((one) => !one.closest("dialog")).map((one) => Number(one.tagName[1]))"""

CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (color.startsWith("rgb(")) return parse(color);
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const one of document.querySelectorAll("main *, .bar *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility() || one.closest("svg")) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(parse(style.color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.add(`${one.tagName}.${one.className} ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""


@pytest.fixture(scope="module")
def paths(site: Site) -> list[str]:
    """Every page, with something on it."""
    site.pay("everywhere", 2, 900)
    alert = site.alert_of("everywhere")["id"]
    return [*PATHS, f"/alerts/{alert}", "/rules/escalation", "/editor", "/you", "/login"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_names_headings_labels_and_contrast(
    browser: Browser, site: Site, paths: list[str], scheme: str
) -> None:
    context = browser.new_context(base_url=site.url, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    titles = set()
    for path in paths:
        page.goto(path)
        titles.add(page.title())
        assert page.locator("html").get_attribute("lang") == "en"
        for role in ("banner", "main"):
            assert page.get_by_role(role).count() == 1, (path, role)  # type: ignore[arg-type]
        levels = page.evaluate(LEVELS)
        assert levels[0] == 1
        assert levels.count(1) == 1, path
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert page.evaluate(NAMELESS) == [], path
        assert page.locator("table:not(:has(caption)):not(.u-legend)").count() == 0, path
        assert page.locator("main table:not(.u-legend) th:not([scope])").count() == 0, path
        assert page.evaluate(CONTRAST) == [], (path, scheme)
        assert page.locator("[style]:not(.u-wrap *, .tip)").count() == 0 or path == "/"
    assert len(titles) == len(paths)
    context.close()


def test_no_page_is_wider_than_a_telephone(browser: Browser, site: Site, paths: list[str]) -> None:
    context = browser.new_context(base_url=site.url, viewport={"width": 390, "height": 800})
    page = context.new_page()
    for path in paths:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()


def test_without_script_alerts_are_found_and_handled(browser: Browser, site: Site) -> None:
    site.pay("scriptless", 1, 900)
    alert = site.alert_of("scriptless")
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/alerts")
    page.get_by_role("row").filter(has_text="scriptless").get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("Acknowledged.")
    page.get_by_label("State").select_option("acknowledged")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name=alert["title"]).click()
    expect(page.locator(".facts")).to_contain_text("acknowledged")
    context.close()


def test_the_way_by_keys(page: Page, site: Site) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")
    expect(page.locator("html.scripted")).to_be_attached()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Small, then large")


def test_light_and_dark_can_be_chosen(page: Page, site: Site) -> None:
    page.goto("/rules")
    page.get_by_label("Theme").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/alerts")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_figures_and_charts_of_the_overview(page: Page, site: Site) -> None:
    site.pay("charted", 1, 900)
    site.alert_of("charted")
    page.goto("/")
    expect(page.locator(".chart canvas")).to_have_count(2)
    expect(page.locator("[data-figure=rate]")).not_to_have_text("–")
    opened = page.get_by_role("table", name="Alerts opened")
    assert int(opened.get_by_role("row").filter(has_text="high").locator("td").inner_text()) >= 1


def test_destinations_are_tried_and_their_messages_listed(page: Page, site: Site) -> None:
    page.goto("/destinations")
    page.get_by_role("button", name="Send a test: desk").click()
    expect(page.locator(".facts")).to_contain_text("delivered")
    page.goto("/deliveries?state=delivered&destination=desk")
    expect(page.get_by_role("row").filter(has_text="test").first).to_be_visible()


def test_a_silence_is_looked_at_before_it_is_made(page: Page, site: Site) -> None:
    site.pay("hushed", 1, 900)
    site.alert_of("hushed")
    page.goto("/silences")
    page.get_by_role("textbox", name="Key").fill("card=hushed")
    page.get_by_role("button", name="Look what it hides").click()
    found = page.get_by_role("region", name="New silence").get_by_role("status")
    expect(found).to_contain_text("It would hide 1 of the newest")
    expect(found).to_contain_text("Card hushed")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("comment")
    page.get_by_label("Why").fill("known")
    page.get_by_role("button", name="Silence", exact=True).click()
    row = page.get_by_role("row").filter(has_text="known")
    expect(row).to_contain_text("card hushed")
    row.get_by_role("button", name="End now").click()
    expect(page.get_by_role("status")).to_have_text("The silence has ended.")


def test_pages_tell_browsers_to_be_strict(site: Site) -> None:
    for path in ("/", "/static/console.css"):
        with urllib.request.urlopen(site.url + path, timeout=10) as answer:
            headers = answer.headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://x.test"}])
def test_forms_of_other_sites_change_nothing(site: Site, header: dict[str, str]) -> None:
    request = urllib.request.Request(
        f"{site.url}/silences", b"rule=*&comment=x&hours=1", header, method="POST"
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10)
    assert not [one for one in site.get("/api/v1/silences")["items"] if one["comment"] == "x"]


def test_what_is_not_there_is_said(page: Page) -> None:
    for path in ("/alerts/nope", "/rules/nope", "/deliveries/nope"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/rules?q=a", "/rules?q=a"),
        ("//evil.test/", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test/", "/"),
        ("/a\nb", "/"),
        (None, "/"),
    ],
)
def test_a_sign_in_leads_nowhere_else(path: str | None, leads_to: str) -> None:
    assert local(path, "/") == leads_to
