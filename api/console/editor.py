"""The rule editor: text with its diagnostics and its pattern, its tests, drafts and deployment.

Each button sends the whole form and gets the page again, so it works without scripts; with them the
text is checked as one types.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.graph import drawing
from api.console.page import Page

router = APIRouter()
MODES = ("live", "shadow", "paused")
NEW = """event Reading { ts: timestamp @time  sensor: string  value: float }

rule rising "Low, then high" {
  severity medium
  by sensor
  match low: Reading[value < 10] -> high: Reading[value > 100]
  within 10m
  alert "Sensor {sensor}: {low.value}, then {high.value}"
}

test rising "from low to high" {
  at 0s   Reading {sensor: "a", value: 5.0}
  at 60s  Reading {sensor: "a", value: 120.0}
  expect at 60s 1 alert {sensor: "a"}
}
"""


@router.get("/editor")
async def editor(request: Request) -> Response:
    """With the draft of `rule`, or the text that declares it, or a new one."""
    page, name = Page(request), request.query_params.get("rule", "")
    deployment = await _deployment(page)
    text, draft = await _begin(page, name, deployment)
    form = {"text": text, "rule": name, "draft": draft, "deployment": deployment, "mode": ""}
    return await _show(page, form)


@router.post("/editor/check")
async def check(request: Request) -> Response:
    """The part of the page that says what is wrong, for the text as it is."""
    page, form = Page(request), await read_form(request)
    return page.render("checked.html", {"checked": await _checked(page, form), "tests": None})


@router.post("/editor/format")
async def format_text(request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    try:
        text = (await page.api.post("/api/v1/rules:format", {"text": form["text"]})).json()["text"]
    except ApiRefused as refused:
        return await _show(page, form, _raised(refused))
    return await _show(page, form | {"text": text})


@router.post("/editor/test")
async def test(request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    body = {"text": form.get("text", ""), "name": _file(form.get("rule", ""))}
    try:
        found = (await page.api.post("/api/v1/rules:test", body)).json()
    except ApiRefused as refused:
        return await _show(page, form, _raised(refused))
    return await _show(page, form, tests=found)


@router.post("/editor/save")
async def save(request: Request) -> Response:
    """The draft is kept under the name of the first rule."""
    page, form = Page(request), await read_form(request)
    name = form.get("rule") or _first_rule(await _checked(page, form)) or "draft"
    draft = form.get("draft", "")
    try:
        answer = await page.api.put(
            f"/api/v1/drafts/{segment(name)}",
            {"text": form.get("text", "")},
            f'"{draft}"' if draft else None,
            is_new=not draft,
        )
    except ApiRefused as refused:
        return await _show(page, form, _raised(refused))
    kept = form | {"rule": name, "draft": str(answer.json()["version"])}
    return await _show(page, kept, saved=True)


@router.post("/editor/deploy")
async def deploy(request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    checked = await _checked(page, form)
    name = _first_rule(checked) or form.get("rule") or "draft"
    body = {"text": form.get("text", "")} | ({"mode": form["mode"]} if form.get("mode") else {})
    try:
        answer = await page.api.put(
            f"/api/v1/rules/{segment(name)}", body, f'"{form.get("deployment", "")}"'
        )
        if form.get("draft"):
            await page.api.delete(f"/api/v1/drafts/{segment(form['rule'])}", f'"{form["draft"]}"')
    except ApiRefused as refused:
        return await _show(page, form, _raised(refused))
    done = "deployed" if answer.status_code == 202 else "unchanged"
    return page.go(f"/rules/{segment(name)}", done)


def _raised(refused: ApiRefused) -> ApiRefused:
    """The problem, to be shown above the text; who has to sign in first is sent there."""
    if refused.status == 401:
        raise refused
    return refused


async def _deployment(page: Page) -> str:
    answer = await page.api.answer("/api/v1/rules")
    return str(answer.headers.get("etag", "")).strip('"')


async def _begin(page: Page, name: str, deployment: str) -> tuple[str, str]:
    """The text to begin with, and the version of the draft, empty for none."""
    if not name:
        return NEW, ""
    try:
        draft = await page.api.get(f"/api/v1/drafts/{segment(name)}")
    except ApiRefused as refused:
        if refused.status != 404:
            raise
    else:
        return str(draft["text"]), str(draft["version"])
    rule = await page.api.get(f"/api/v1/rules/{segment(name)}")
    found = await page.api.get(f"/api/v1/deployments/{segment(deployment)}")
    return str(found["texts"].get(rule["text"], "")), ""


def _file(name: str) -> str:
    """What the text of a rule is called once it is deployed from here."""
    return f"api/{name}.cep" if name else "api/draft.cep"


async def _checked(page: Page, form: dict[str, str]) -> dict[str, Any]:
    """What is wrong with the text, and the patterns it declares, drawn."""
    body = {"text": form.get("text", ""), "name": _file(form.get("rule", ""))}
    try:
        found = dict((await page.api.post("/api/v1/rules:validate", body)).json())
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        detail = refused.document.get("detail") or refused.document.get("title")
        return {"valid": False, "errors": [], "reason": detail, "rules": []}
    found["rules"] = [rule | {"drawing": drawing(rule["graph"])} for rule in found["rules"]]
    return found


def _first_rule(checked: dict[str, Any]) -> str | None:
    return checked["rules"][0]["name"] if checked["rules"] else None


async def _show(
    page: Page,
    form: dict[str, str],
    refused: ApiRefused | None = None,
    tests: dict[str, Any] | None = None,
    saved: bool = False,
) -> Response:
    return await page.show(
        "editor.html",
        refused,
        form={name: form.get(name, "") for name in ("text", "rule", "draft", "deployment", "mode")},
        checked=await _checked(page, form),
        tests=tests,
        saved=saved,
        modes=MODES,
    )
