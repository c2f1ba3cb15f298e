"""Admission: how many requests one process works on at a time. Beyond that the answer is an immediate 503.

A process that takes every request answers all of them late: each waits for all others. With a bound, the admitted ones keep
their time, and the others are free to ask another process.

Requests that wait for an engine are bounded by their number. While the process has no core time left, requests wait for one
another's CPU time too, and that wait is bounded: `InFlight` says how.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.core.request_id import HEADER, request_id_of
from fanfold.http.cpu_share import CpuShare
from fanfold.http.in_flight import InFlight
from fanfold.http.problems import KEPT_BY_NOBODY, MEDIA_TYPE, RETRY_AFTER_S, problem_fields
from fanfold.http.stale_writes import begin
from fanfold.http.turns import Turns

READS = {"GET", "HEAD", "OPTIONS"}
# A probe that is refused would have a busy process restarted, or hide why it is busy.
ALWAYS_ADMITTED = {"/livez", "/readyz", "/metrics"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The parts of a whole answer, but for what names the request."""

    status: HTTPStatus
    headers: Sequence[tuple[bytes, bytes]]
    before_id: bytes
    after_id: bytes

    @property
    def status_line(self) -> bytes:
        return b"HTTP/1.1 %d %s" % (self.status, self.status.phrase.encode())

    def naming(self, scope: Scope) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """All fields, and the body, for that request."""
        request_id = request_id_of(scope["headers"]).encode()
        body = self.before_id + request_id + self.after_id
        length = (b"content-length", b"%d" % len(body))
        return [*self.headers, length, (_REQUEST_ID, request_id)], body


def _overloaded() -> Refusal:
    document = problem_fields(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        kind="overloaded",
        title="Overloaded",
        detail="This server has as many requests as it can answer in time. Retry.",
    )
    # An id of a request needs no escaping, so a refusal encodes no JSON.
    body = json.dumps({**document, "request_id": _ID_GOES_HERE}).encode()
    before_id, after_id = body.split(_ID_GOES_HERE.encode())
    headers = (
        (b"content-type", MEDIA_TYPE.encode()),
        (b"retry-after", b"%d" % RETRY_AFTER_S),
        *((name.lower().encode(), value.encode()) for name, value in KEPT_BY_NOBODY.items()),
    )
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, headers, before_id, after_id)


_ID_GOES_HERE = "<id>"
_REQUEST_ID = HEADER.lower().encode()
_OVERLOADED = _overloaded()
_STREAMED = (b"text/event-stream", b"application/x-ndjson")
_DECISION = "fanfold.admission"
"""Where a scope keeps what was decided when the request was read: its kind, or None if it is refused."""


class Admission:
    """ASGI middleware: at most `most` reads and `most` writes at a time; health and metrics are always admitted.

    Reads and writes are counted apart: while the log is away, writes wait for it, and reads of the tables must go on. A live
    feed or an export counts until its answer starts, for its client decides how long that takes; each has a bound of its own.

    While the process has no core time left, fewer: so many that they wait `wait_s` for one another.
    """

    def __init__(
        self, app: ASGIApp, *, most: int, wait_s: float, cpu_share: CpuShare | None = None
    ) -> None:
        self.app = app
        self._wait_s = wait_s
        self._cpu_share = cpu_share or CpuShare()
        self._reads, self._writes = InFlight("read", most=most), InFlight("write", most=most)
        self._turns = Turns()

    def refusal(self, scope: Scope) -> Refusal | None:
        """Decide about a request that was just read. None: it is admitted, and its call must follow.

        A server that asks here refuses at once. A call would wait in the event loop for all calls before it, and what has not
        begun would not count.
        """
        if scope["path"] in ALWAYS_ADMITTED:
            return None
        scope[_DECISION] = decision = self._decide(scope)
        return None if decision else _OVERLOADED

    def _decide(self, scope: Scope) -> InFlight | None:
        if self._cpu_share.due():
            self._adapt()
        in_flight = self._reads if scope["method"] in READS else self._writes
        return in_flight if in_flight.enter() else None

    def _adapt(self) -> None:
        if self._cpu_share.look(self._reads.answered + self._writes.answered):
            for in_flight in (self._reads, self._writes):
                in_flight.adapt(self._cpu_share.request_s, wait_s=self._wait_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_ADMITTED:
            await self.app(scope, receive, send)
            return
        in_flight = scope.pop(_DECISION) if _DECISION in scope else self._decide(scope)
        if in_flight is None:
            await _refuse(_OVERLOADED, scope, send)
            return
        counted, began_s = True, begin()

        async def uncounted_once_a_stream(message: Message) -> None:
            nonlocal counted
            if counted and message["type"] == "http.response.start" and _is_stream(message):
                counted = False
                in_flight.leave(time.monotonic() - began_s)
            await send(message)

        try:
            await self._turns.begin()
            await self.app(scope, receive, uncounted_once_a_stream)
        finally:
            if counted:
                in_flight.leave(time.monotonic() - began_s)


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    headers, body = refusal.naming(scope)
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_stream(message: Message) -> bool:
    for name, value in message["headers"]:
        if name == b"content-type" and value.startswith(_STREAMED):
            return True
    return False
