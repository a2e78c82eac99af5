"""The OpenAPI document: what FastAPI cannot see in the handlers is added here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.access.gate import OPEN
from api.problems import MEDIA_TYPE
from api.schemas import Problem

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "A problem document (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status in ("4XX", "5XX")
}
"""What every route may answer, too."""

_DESCRIPTION = """Rules that watch streams of events, and the alerts that come of them.

Listings come in pages: give `next` as `cursor`.  Whoever changes a thing says in `If-Match` which
version of it they saw.  A key goes into `Authorization: Bearer cep_…`.
"""


def json_body(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """`openapi_extra` of a handler that reads a JSON object itself, which may be left out."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        schema["required"] = list(required)
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"content": content, "required": bool(required)}}


def if_match_header(what: str) -> dict[str, Any]:
    """`openapi_extra` of a change that says which version of `what` it was made from."""
    header = {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": f"the ETag of {what}, or *",
        "schema": {"type": "string"},
        "example": "*",
    }
    return {"parameters": [header]}


def describe(app: FastAPI) -> None:
    """Lets the document of `app` have the schema that all problems refer to."""
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            schema["info"]["description"] = _DESCRIPTION
            for path in OPEN & schema["paths"].keys():
                for operation in schema["paths"][path].values():
                    operation["security"] = []
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = problem
        return app.openapi_schema or {}

    app.openapi = document  # type: ignore[method-assign]  # the way FastAPI says to extend it
