"""Every refusal and failure, as RFC 9457 problem documents.

    Problem
    ├── BadRequest, NotHttp 400   the body isn't JSON; the request isn't one
    ├── Unauthenticated 401       no credential, or a malformed one
    ├── Forbidden 403             the actor may not do this
    ├── NotFound 404              absent
    ├── Conflict 409              not possible in the present state
    ├── TooLarge 413, UnsupportedMediaType 415
    ├── Misdirected 421           a host that this server is not
    ├── Invalid 422               well-formed, but wrong: `errors` says where and what to change
    ├── TooManyRequests 429       one user has more open than one user may
    └── NotNow 503                the same request may succeed later: always with `Retry-After`
        └── EngineAway            the log or the tables did not answer in time

Services subclass these, giving `kind` (the last part of the stable `type` URI) and `title`. A detail is written
for the client and never repeats what the client sent: that may be long, secret, or text that no encoder accepts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field
from starlette.responses import Response

from fanfold.core.errors import Transient, Unavailable
from fanfold.core.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
KEPT_BY_NOBODY = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
"""What every problem has, also those that no middleware sees."""
RETRY_AFTER_S = 1


class WhatToChange(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="`body`, `path`, `query` or `header`.")
    pointer: str = Field(description="JSON pointer into the body, or the parameter's name.")
    detail: str = Field(description="What to change.")


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(description="A stable URI of this kind of problem; compare it, not the text.")
    title: str
    status: int
    detail: str
    request_id: str = Field("", description="`X-Request-Id` of this answer: name it in a report.")
    errors: list[WhatToChange] = Field(default=[], description="What to change, where known.")


class Problem(Exception):
    """Answer the request with this problem document."""

    status: ClassVar[int]
    kind: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[WhatToChange] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)


class BadRequest(Problem):
    status = 400
    kind = "not-json"
    title = "The body is not JSON"


class NotHttp(Problem):
    status = 400
    kind = "not-http"
    title = "Malformed request"


class Unauthenticated(Problem):
    status = 401
    kind = "unauthenticated"
    title = "No valid credential"

    def __init__(self, detail: str, *, challenge: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    status = 403
    kind = "forbidden"
    title = "Forbidden"


class MissingScope(Forbidden):
    """The client may not do this for any user."""

    kind = "missing-scope"
    title = "The token lacks a scope"

    def __init__(self, scope: str) -> None:
        challenge = f'Bearer realm="fanfold", error="insufficient_scope", scope="{scope}"'
        super().__init__(
            f"Send a token with the scope {scope}.", headers={"WWW-Authenticate": challenge}
        )


class NotFound(Problem):
    status = 404
    kind = "not-found"
    title = "Not found"


class UserNotFound(NotFound):
    """The path names a user who never registered, or who has left."""

    kind = "user-not-found"
    title = "No such user"


class Conflict(Problem):
    status = 409
    kind = "conflict"
    title = "Conflict"


class TooLarge(Problem):
    status = 413
    kind = "body-too-large"
    title = "The body is too large"


class UnsupportedMediaType(Problem):
    status = 415
    kind = "unsupported-media-type"
    title = "The body is not sent as JSON"

    def __init__(self, detail: str) -> None:
        super().__init__(
            detail, headers={"Accept": "application/json", "Accept-Encoding": "identity"}
        )


class Misdirected(Problem):
    status = 421
    kind = "unknown-host"
    title = "Not a name of this server"


class Invalid(Problem):
    status = 422
    kind = "invalid"
    title = "The request is not valid"

    @classmethod
    def at(cls, where: str, pointer: str, detail: str) -> Invalid:
        """The problem of one wrong field or parameter; `detail` says what to change."""
        return cls(detail, errors=[WhatToChange(where=where, pointer=pointer, detail=detail)])


class TooManyRequests(Problem):
    status = 429
    kind = "too-many-requests"
    title = "Too many requests of one user"

    def __init__(self, detail: str, *, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class NotNow(Problem):
    status = 503
    kind = "not-now"
    title = "Temporarily unavailable"

    def __init__(
        self,
        detail: str,
        *,
        retry_after_s: int = RETRY_AFTER_S,
        errors: Sequence[WhatToChange] = (),
    ) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)}, errors=errors)


class EngineAway(NotNow):
    kind = "engine-away"
    title = "Engine unavailable"


def engine_away(error: Transient) -> EngineAway:
    """The 503 for an engine that did not answer. It names the engine, and nothing else of the error."""
    engine = error.engine if isinstance(error, Unavailable) else None
    if engine is None:
        return EngineAway("An engine did not answer in time. Retry.")
    return EngineAway(f"This needs {engine}, which did not answer in time. Retry.")


def problem_response(problem: Problem) -> Response:
    """The problem as a response."""
    return problem_document(
        status=problem.status,
        kind=problem.kind,
        title=problem.title,
        detail=problem.detail,
        errors=problem.errors,
        headers=problem.headers,
    )


def problem_document(
    *,
    status: int,
    kind: str,
    title: str,
    detail: str,
    errors: Sequence[WhatToChange] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    document = problem_fields(status=status, kind=kind, title=title, detail=detail)
    if errors:
        document["errors"] = [error.model_dump() for error in errors]
    return Response(
        # The standard encoder writes ASCII, so no text in a detail can make it fail.
        json.dumps(document),
        status,
        headers={**KEPT_BY_NOBODY, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def problem_fields(*, status: int, kind: str, title: str, detail: str) -> dict[str, Any]:
    """The members that every problem document has."""
    document: dict[str, Any] = {
        "type": f"urn:fanfold:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if (request_id := current_request_id.get()) is not None:
        document["request_id"] = request_id
    return document
