"""The answers that the edge itself can give, added to every operation's documentation."""

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

POSITION_HEADER = "Fanfold-Position"

_POSITION = "[a-z0-9.-]+/[0-9]+/[0-9]+"


def _positions(description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"headers": {POSITION_HEADER: {"description": description, "schema": schema}}}


WRITTEN = _positions("Where the event lies in the log: `topic/partition/offset`.", _POSITION)
"""What `responses` says of every answer to a write."""

ALL_WRITTEN = _positions(
    "Where the events of this write lie in the log: `topic/partition/offset`, several separated by commas.",
    f"{_POSITION}(, {_POSITION})*",
)
"""The same of a write that appends more than one."""

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
    404: "Nothing is here.",
    405: "Not a method of this path.",
    413: f"The body is over {MAX_BODY_BYTES} bytes.",
    415: "The body is not sent as application/json.",
    422: "The request is not valid: `errors` lists what to change.",
    503: "An engine is away, or what was asked for is not visible yet.",
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
            for operations in schema["paths"].values():
                for operation in operations.values():
                    _document(operation)
        return self.openapi_schema or {}


def _document(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
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


def _edge_statuses(operation: dict[str, Any]) -> set[int]:
    statuses: set[int] = set()
    if "security" in operation:
        statuses |= {401, 503}
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    if operation.get("parameters"):
        statuses |= {404, 422}
    return statuses
