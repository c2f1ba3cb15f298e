"""Validators of answers: a client that has the present one is answered 304, without a body (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from hashlib import blake2s
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from fanfold.http.openapi import Responses

_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')

VALIDATED: Responses = {
    200: {
        "headers": {
            "ETag": {
                "description": "Send it in `If-None-Match` to be answered 304 while nothing has changed.",
                "schema": {"type": "string"},
            }
        }
    },
    304: {"description": "The client has the current answer already."},
}
"""`responses` of such a route."""


class ValidatedRoute(APIRoute):
    """A route whose 200 has an `ETag`. It is made of the answer, so it changes with anything that the acting user would see."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def validated(request: Request) -> Response:
            return _validated(request, await handle(request))

        return validated


def _validated(request: Request, response: Response) -> Response:
    if response.status_code != HTTPStatus.OK:
        return response
    # Weak, because the answer may be sent compressed or not.
    tag = f'"{blake2s(bytes(response.body), digest_size=12).hexdigest()}"'
    response.headers["ETag"] = f"W/{tag}"
    # A client may keep it, but must ask before each use.
    response.headers["Cache-Control"] = "private, no-cache"
    if not has_present_one(request, tag):
        return response
    kept = {name: response.headers[name] for name in ("ETag", "Cache-Control")}
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=kept)


def has_present_one(request: Request, tag: str) -> bool:
    """Whether the request's `If-None-Match` names this tag, in quotes, weak or not."""
    known = ",".join(request.headers.getlist("If-None-Match"))
    return known.strip() == "*" or tag in _TAG.findall(known)
