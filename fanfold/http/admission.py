"""Admission: how many requests one process works on at a time. Beyond that the answer is an immediate 503.

A process that takes every request answers all of them late: each waits for all others. With a bound, the admitted ones keep
their time, and the others are free to ask another process.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.http.problems import MEDIA_TYPE, RETRY_AFTER_S, problem_fields

REFUSED = Counter(
    "fanfold_http_refused_total",
    "Requests answered 503 at once, because FANFOLD_MAX_IN_FLIGHT reads or writes were in flight.",
    ["kind"],
)

_READS = {"GET", "HEAD", "OPTIONS"}
# A probe that is refused would have a busy process restarted, or hide why it is busy.
_ALWAYS_ADMITTED = {"/livez", "/readyz", "/metrics"}
_BODY = json.dumps(
    problem_fields(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        kind="overloaded",
        title="Overloaded",
        detail="This server has as many requests in flight as it takes. Retry.",
    )
).encode()
_START: Message = {
    "type": "http.response.start",
    "status": HTTPStatus.SERVICE_UNAVAILABLE,
    "headers": [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(_BODY)),
        (b"retry-after", b"%d" % RETRY_AFTER_S),
        (b"cache-control", b"private, no-store"),
        (b"x-content-type-options", b"nosniff"),
    ],
}
_END: Message = {"type": "http.response.body", "body": _BODY}


class _InFlight:
    """The requests of one kind that are in flight."""

    __slots__ = ("count", "refused")

    def __init__(self, kind: str) -> None:
        self.count = 0
        self.refused = REFUSED.labels(kind)


class Admission:
    """ASGI middleware: at most `most` reads and `most` writes at a time; health and metrics are always admitted.

    Reads and writes are counted apart: while the log is away, writes wait for it, and reads of the tables must go on. A live
    feed counts until its answer starts; `FANFOLD_LIVE_FEEDS` bounds how many are open.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self._most = most
        self._reads, self._writes = _InFlight("read"), _InFlight("write")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _ALWAYS_ADMITTED:
            await self.app(scope, receive, send)
            return
        in_flight = self._reads if scope["method"] in _READS else self._writes
        if in_flight.count >= self._most:
            in_flight.refused.inc()
            await send(_START)
            await send(_END)
            return
        in_flight.count += 1
        counted = True

        async def uncounted_once_a_stream(message: Message) -> None:
            nonlocal counted
            if counted and message["type"] == "http.response.start" and _is_stream(message):
                counted = False
                in_flight.count -= 1
            await send(message)

        try:
            await self.app(scope, receive, uncounted_once_a_stream)
        finally:
            if counted:
                in_flight.count -= 1


def _is_stream(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message["headers"]
    )
