"""One page: the template, and what every page has around it (navigation, who reads it, the theme).

Templates escape everything.  What a page shows comes from `Page.api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from api.console import words
from api.console.client import Api, ApiRefused

FOLDER = Path(__file__).parent
THEMES = ("light", "dark")
THEME_COOKIE, NAME_COOKIE = "cep_theme", "cep_name"
NAME_CHARACTERS_MAX = 100


class Entry(NamedTuple):
    """Of the navigation; shown to who has the permission."""

    path: str
    title: str
    permission: str = "read"


NAVIGATION = (
    Entry("/", "Overview"),
    Entry("/alerts", "Alerts"),
    Entry("/rules", "Rules"),
    Entry("/backtests", "Back-tests"),
    Entry("/silences", "Silences"),
    Entry("/destinations", "Destinations"),
    Entry("/deliveries", "Deliveries"),
    Entry("/dead-letters", "Dead letters"),
    Entry("/late", "Late events"),
    Entry("/audit", "Audit", "administer"),
    Entry("/access", "Access", "administer"),
)

DONE = {
    "acknowledged": "Acknowledged.",
    "assigned": "Assigned.",
    "commented": "Comment added.",
    "snoozed": "Snoozed.",
    "resolved": "Resolved.",
    "reopened": "Reopened.",
    "paused": "Paused: the rule sees no events until it is resumed.",
    "live": "The rule is live.",
    "shadow": "The rule is in shadow: it detects and tells nobody.",
    "rolled-back": "The rule has the text again that it had before.",
    "deployed": "Deployed.",
    "unchanged": "There was nothing to change.",
    "saved": "Saved.",
    "enabled": "Enabled.",
    "replayed": "Dead messages are pending again.",
    "silenced": "The silence is made.",
    "ended": "The silence has ended.",
    "signed-out": "You are signed out.",
}
"""What a page says after a form was sent, by the word that its address then ends with."""


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        words.clock,
        words.ago,
        words.duration,
        words.number,
        words.words,
        words.values,
        words.shown,
        words.pretty,
    ):
        made.filters[function.__name__] = function
    made.globals["problem_lines"] = words.problem_lines
    return made


_TEMPLATES = _environment()


class Who(NamedTuple):
    """Who reads: `name` is given in changes where nobody signs in."""

    name: str
    permissions: frozenset[str]
    signed_in: bool

    def may(self, permission: str) -> bool:
        return permission in self.permissions


NOBODY = Who("", frozenset(), signed_in=False)


class Page:
    """A request for a page, and the answers to it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.api = Api(request)

    @cached_property
    def is_part(self) -> bool:
        """Whether htmx asks, which takes a part of the page."""
        return self.request.headers.get("hx-request") == "true"

    async def who(self) -> Who:
        found = await self.api.get("/api/v1/whoami")
        name = str(found["name"])
        if not found["authentication"]:
            name = self.request.cookies.get(NAME_COOKIE, "")[:NAME_CHARACTERS_MAX] or "console"
        return Who(name, frozenset(found["permissions"]), bool(found["authentication"]))

    async def by(self) -> dict[str, object]:
        """The member of bodies that says who does it, where nobody signs in."""
        who = await self.who()
        return {} if who.signed_in else {"by": who.name}

    async def show(
        self,
        template: str,
        refused: ApiRefused | None = None,
        status: int | None = None,
        **context: Any,
    ) -> Response:
        """The page; with `refused`, the problem above it, and its status."""
        who = context.pop("who", None) or await self.who()
        code = status or (200 if refused is None else refused.status)
        found = {
            "path": self.request.url.path,
            "navigation": [entry for entry in NAVIGATION if who.may(entry.permission)],
            "who": who,
            "done": DONE.get(self.request.query_params.get("done", "")),
            "refused": None if refused is None else refused.document,
        }
        return self.render(template, found | context, code)

    def render(self, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        theme = self.request.cookies.get(THEME_COOKIE)
        body = _TEMPLATES.get_template(template).render(
            {"theme": theme if theme in THEMES else None, "is_part": self.is_part} | dict(context)
        )
        return HTMLResponse(body, status, {"vary": "HX-Request"})

    def go(self, path: str, done: str | None = None) -> Response:
        """After a form: another page, which says what was done."""
        if done is not None:
            path += ("&" if "?" in path else "?") + f"done={done}"
        return RedirectResponse(path, 303)
