"""Limits of a query and of a body, checked before their route runs: each parameter once; a body's size, content type and syntax."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote_plus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.http.problems import (
    BadRequest,
    Invalid,
    Problem,
    TooLarge,
    UnsupportedMediaType,
    problem_response,
)

MAX_BODY_BYTES = 64 * 1024

_LONGEST_INTEGER = 100
_MOST_FIELDS = 100
"""Of one object, and parameters of one query. Each field that no route knows costs its place in the answer: seven thousand took 20 ms of the event loop."""

_MOST_VALUES = 1_000
"""Objects and integers. Each is checked here, and 64 KiB hold thirty thousand."""

_WITH_BODY = {"POST", "PUT", "PATCH"}
_BODY = "fanfold.body"


class ParsedBody(NamedTuple):
    """The body of a request, read as JSON. The value is None for `null`."""

    value: Any


def parsed_body(scope: Scope) -> ParsedBody | None:
    """The body that `Limits` has read; None for an empty one."""
    return scope.get(_BODY)


class Limits:
    """ASGI middleware: 422 for a query with a parameter twice; 413 for a body over 64 KiB, 415 for another content type than JSON, 400 for a body that isn't JSON.

    An empty body passes, because only the route knows whether it needs one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            _check_query(scope["query_string"])
            if scope["method"] in _WITH_BODY:
                headers = Headers(scope=scope)
                body = await _read(headers, receive)
                if body is None:
                    return
                if body:
                    scope[_BODY] = ParsedBody(_checked(headers, body))
                receive = _replaying(body, receive)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _check_query(query: bytes) -> None:
    """Raise `Invalid` for too many parameters, and for one that is there twice: readers differ in which one they take."""
    if b"&" not in query:
        return
    parameters = query.split(b"&", _MOST_FIELDS)
    if len(parameters) > _MOST_FIELDS:
        raise Invalid(f"Send at most {_MOST_FIELDS} parameters.")
    names = [
        unquote_plus(parameter.partition(b"=")[0].decode("latin-1"))
        for parameter in parameters
        if parameter
    ]
    if len(set(names)) < len(names):
        raise Invalid("Send each parameter once.")


async def _read(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None when the client disconnected."""
    # Before reading, so that a client that declares the length needn't send the body.
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:12]) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"Send at most {MAX_BODY_BYTES} bytes.")


def _checked(headers: Headers, body: bytes) -> Any:
    """What the body holds, as `json.loads` would read it."""
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send the body with Content-Type: application/json.")
    try:
        # Decoded here, because `json` also accepts UTF-16 and UTF-32.
        return _Check().read(body.decode())
    except RecursionError as error:
        raise BadRequest("Send JSON with less nesting.") from error
    except ValueError as error:
        raise BadRequest("Send one JSON object in UTF-8.") from error


class _Check:
    """What one body may hold, beyond the syntax."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def read(self, text: str) -> Any:
        """What the text holds. Raises `Invalid` for more than that, and `ValueError` for what is not JSON."""
        return json.loads(
            text, parse_constant=_refuse, parse_int=self._integer, object_pairs_hook=self._fields
        )

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Invalid(f"Send at most {_MOST_VALUES} objects and integers.")

    def _integer(self, digits: str) -> int:
        self._count()
        # Python refuses integers of thousands of digits. They are JSON, but no field takes them.
        if len(digits) > _LONGEST_INTEGER:
            raise Invalid(f"Send no number of more than {_LONGEST_INTEGER} digits.")
        return int(digits)

    def _fields(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._count()
        if len(pairs) > _MOST_FIELDS:
            raise Invalid(f"Send at most {_MOST_FIELDS} fields in one object.")
        fields = dict(pairs)
        # Readers differ in which one they take, so a filter before this server may have seen another text.
        if len(fields) < len(pairs):
            raise Invalid("Send each field once.")
        return fields


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _replaying(body: bytes, receive: Receive) -> Receive:
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
