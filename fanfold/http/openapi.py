"""The OpenAPI document: answers that the edge itself gives are added to every operation."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field

from fanfold.http.limits import MAX_BODY_BYTES
from fanfold.http.problems import MEDIA_TYPE, ProblemDocument

Rfc3339 = Annotated[
    str,
    Field(
        description="UTC, with milliseconds.",
        examples=["2026-11-20T08:30:00.123Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
"""A time in an answer, as `fanfold.core.clock.rfc3339` writes it."""

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI takes as `responses`: the description of each status."""

NOT_OWN: Responses = {403: {"description": "Not your user id."}}
"""`responses` of a router with the guard of one's own user id."""

NOT_OWN_OR_LEFT: Responses = {403: {"description": "Not your user id, or you have left."}}
"""The same where a user who has left is refused too."""

LEFT: Responses = {403: {"description": "You have left."}}
"""`responses` of a router of other writes."""

# The rules of `fanfold.core.text`, as nearly as regular expressions without Unicode properties can state them.
_VISIBLE = r"[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
_POST_CHARS = r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*"
_NAME_CHARS = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*"
POST_PATTERN = f"^{_POST_CHARS}{_VISIBLE}{_POST_CHARS}$"
BIO_PATTERN = f"^({_POST_CHARS}{_VISIBLE}{_POST_CHARS})?$"
NAME_PATTERN = f"^{_NAME_CHARS}{_VISIBLE}{_NAME_CHARS}$"

POSITION_HEADER = "Fanfold-Position"

_POSITION = "[a-z0-9.-]+/[0-9]+/[0-9]+(;[A-Za-z0-9:._-]+)*"


def _positions(description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"headers": {POSITION_HEADER: {"description": description, "schema": schema}}}


WRITTEN = _positions(
    "The event's position in the log and what it changed: opaque, for `Fanfold-After`.", _POSITION
)
"""An entry of `responses`: the answer to a write that appends one event."""

ALL_WRITTEN = _positions(
    "The positions of this write's events in the log and what they changed, separated by commas: opaque, for `Fanfold-After`.",
    f"{_POSITION}(, {_POSITION})*",
)
"""The same for a write that appends several."""

_SECONDS = {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    415: {"Accept": {"schema": {"type": "string"}}},
    503: {"Retry-After": _SECONDS},
}
_MEANING = {
    400: "The body is not JSON.",
    401: "No valid credential.",
    404: "Not found.",
    405: "The path does not have this method.",
    413: f"The body is over {MAX_BODY_BYTES} bytes.",
    415: "The body is not sent as application/json.",
    422: "The request is not valid: `errors` lists what to change.",
    503: "An engine did not answer in time, or a recent write is not visible yet.",
}


_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token of the issuer, where `FANFOLD_AUTH=jwt`. Reads need the scope `fanfold:read`, writes `fanfold:write`.",
}


class DocumentedApp(FastAPI):
    """A FastAPI whose OpenAPI document lists every answer an operation can give."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            problem = ProblemDocument.model_json_schema(
                ref_template="#/components/schemas/{model}", mode="serialization"
            )
            schemas.update(problem.pop("$defs"))
            schemas["ProblemDocument"] = problem
            if schemes := schema["components"].get("securitySchemes"):
                schemes["Bearer"] = _BEARER
            schema["info"].setdefault("contact", {"name": "The operator of this installation"})
            for operations in schema["paths"].values():
                for operation in operations.values():
                    _document(operation)
                    _describe_streams(operation, schemas)
        return self.openapi_schema or {}


def _first_sentence(text: str) -> str:
    first, stop, _ = " ".join(text.split()).partition(". ")
    return f"{first}." if stop else first


def _document(operation: dict[str, Any]) -> None:
    if "description" in operation:
        # FastAPI makes one of the function's name: "Leave For Good".
        operation["summary"] = _first_sentence(operation["description"])
    responses = operation["responses"]
    if "security" in operation:
        operation["security"] = [*operation["security"], {"Bearer": []}]
        responses.setdefault("403", {"description": "The token lacks a scope."})
    for status in _edge_statuses(operation):
        responses.setdefault(str(status), {"description": _MEANING[status]})
    for code, response in responses.items():
        status = int(code)
        if status < HTTPStatus.BAD_REQUEST:
            continue
        if status in _MEANING and response["description"] == "Validation Error":
            response["description"] = _MEANING[status]
        response["content"] = {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
        }
        if status in _HEADERS:
            response["headers"] = _HEADERS[status]


def _describe_streams(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the schemas that a stream's route brings along into components, and drop keywords that OpenAPI 3.1 does not have."""
    for media in operation["responses"].get("200", {}).get("content", {}).values():
        media.pop("itemSchema", None)
        for name, form in media.pop("$defs", {}).items():
            schemas.setdefault(name, form)


def _edge_statuses(operation: dict[str, Any]) -> set[int]:
    statuses: set[int] = set()
    if "security" in operation:
        statuses |= {401, 503}
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    if operation.get("parameters"):
        statuses |= {404, 422}
    return statuses
