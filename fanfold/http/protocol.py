"""HTTP/1.1 on one connection, with bounds: what a client may send, and how long it may take.

uvicorn's protocol on httptools has none of these. It also appends trailer fields to the headers of the request, treats
the body of a request that offers an upgrade as the next request of the connection, and reads ever more requests of a
client that does not wait for answers.

A gateway has bounds of its own; these hold without one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanfold.http.http_1_0 import until_close
from fanfold.http.one_piece import OnePiece
from fanfold.http.refusal import Refusal, not_http
from fanfold.http.request_head import check_framing, split_target, without_upgrade

_SLICE_BYTES = 16 * 1024
"""The parser copies a field again for each piece of it, so large input is fed in slices, and checked in between."""

_LINGER_S = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection, and all of them together, may cost this process."""

    head_bytes: int = 32 * 1024
    """The request line and all fields; as many again around a chunked body, so that it has no more than 6,000 chunks."""

    fields: int = 100
    head_s: float = 10.0
    """From the first byte of a head, or from the connection, to its end."""

    body_s: float = 20.0
    """From the end of the head to the end of the body."""

    unwanted_bytes: int = 256 * 1024
    """Of a body whose request has been answered: so much is read for the next request of the connection."""

    unread_s: float = 30.0
    """How long an answer may wait for a client that reads nothing of it."""

    connections: int = 2_000
    """In this process. Each costs some 20 KB while it is idle."""


def _too_large(bounds: Bounds) -> Refusal:
    detail = f"Send at most {bounds.head_bytes} bytes in the request line and {bounds.fields} header fields."
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", detail)


class _Flow(FlowControl):
    """Reads nothing while requests wait for their turn. uvicorn's reads on after each answer, so they become ever more."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, within `bounds`."""

    bounds = Bounds()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        # Bytes of the present body that are none of it: heads of chunks with their extensions, and trailer fields.
        self._around_body = 0
        self._unwanted = 0
        self._answering: RequestResponseCycle | None = None
        self._refusal: Refusal | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        if len(self.connections) > self.bounds.connections:
            detail = "This server has as many connections as it takes. Retry."
            self._refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-connections", detail))
            return
        self._expect(self.bounds.head_s, "the head of a request")

    def answer_one_more(self) -> None:
        """From now on an answer is the last one of this connection, and says so."""
        self._stopping = True
        # Where the head of an answer is sent already, the next answer is the last one.
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.bounds.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _SLICE_BYTES):
            if self._refusal is not None or self.transport.is_closing():
                return
            self._feed(data[start : start + _SLICE_BYTES])

    def _feed(self, data: bytes) -> None:
        began_in_head = self._in_head
        try:
            if began_in_head:
                if self._deadline is None:
                    self._expect(self.bounds.head_s, "the head of a request")
                self._head_bytes += len(data)
            else:
                self._around_body += len(data)
            self.parser.feed_data(data)
            if max(self._head_bytes, self._around_body) > self.bounds.head_bytes:
                raise _too_large(self.bounds)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or not_http())
        except Refusal as refusal:
            self._refuse(refusal)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on as if no upgrade had been offered (RFC 9110, 7.8): the parser would not read the body as one."""
        if self._refusal is not None:
            return
        method: bytes = self.parser.get_method()
        if method == b"CONNECT":
            detail = "Send a request for a path; this is no proxy."
            self._refuse(Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", detail))
            return
        version = self.parser.get_http_version().encode()
        fields = b"".join(
            b"%s: %s\r\n" % (name, value) for name, value in without_upgrade(self.headers)
        )
        self.parser = httptools.HttpRequestParser(self)
        self._in_head, self._head_bytes = True, 0
        self._feed(b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, fields) + rest)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.bounds.head_bytes:
            self._abandon(_too_large(self.bounds))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer field: never a header, whatever it is called (RFC 9110, 6.5.1)
        super().on_header(name, value)
        if len(self.headers) > self.bounds.fields:
            self._abandon(_too_large(self.bounds))

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.bounds.head_bytes:
            self._abandon(_too_large(self.bounds))
        if self.parser.should_upgrade():
            return  # it comes again, without the offer
        version = self.parser.get_http_version()
        try:
            check_framing(self.headers, version=version)
            self.url, self.headers[:] = split_target(self.url, self.headers)
        except Refusal as refusal:
            self._abandon(refusal)
        self._expect(self.bounds.body_s, "the body of a request")
        super().on_headers_complete()
        self._in_head, self._head_bytes, self._unwanted = False, 0, 0
        self.cycle.transport = OnePiece(self.transport)  # type: ignore[assignment]
        if self._stopping:
            self.cycle.keep_alive = False
        if version == "1.0":
            self.cycle.send = until_close(self.cycle)  # type: ignore[method-assign, assignment]

    def on_body(self, body: bytes) -> None:
        if self.parser.should_upgrade():
            return
        self._around_body = max(0, self._around_body - len(body))
        super().on_body(body)
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > self.bounds.unwanted_bytes:
                self._abandon(_too_large(self.bounds))

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head, self._head_bytes, self._around_body = True, 0, 0
        self._expect(None)
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._answering is not None:
            cast("OnePiece", self._answering.transport).flush()
        super().on_response_complete()

    def _abandon(self, refusal: Refusal) -> None:
        """Refuse from within a callback of the parser, which can only be left by an exception."""
        self._refusal = refusal
        raise refusal

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and close, or close alone where the request has its answer, or another one's is under way."""
        self._refusal = refusal
        self._expect(None)
        answering, in_body = self._answering, not self._in_head
        if answering is None or answering.response_complete:
            self._end(
                None if in_body else refusal, linger_s=self.bounds.body_s if in_body else _LINGER_S
            )
        elif in_body and answering is self.cycle and not answering.response_started:
            answering.disconnected = True
            answering.message_event.set()
            self._end(refusal)
        else:
            # Pipelined behind an answer that is under way: that one is finished first, and is the last one.
            self.pipeline.clear()
            answering.keep_alive = False

    def _end(self, refusal: Refusal | None, *, linger_s: float = _LINGER_S) -> None:
        """The end of the connection, once the client has read the answer: closing while it still sends would lose that.

        RFC 9112, 9.6: stop sending, then read and drop for a while.
        """
        if refusal is not None:
            self.transport.write(refusal.answer())
            if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
                self.transport.close()  # the connection slot is needed now, and this client has sent nothing yet
                return
        self.transport.write_eof()
        self.loop.call_later(linger_s, self.transport.close)

    def _expect(self, within_s: float | None, what: str = "") -> None:
        """From now on wait that long, or (None) as long as it takes."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if within_s is not None:
            self._deadline = self.loop.call_later(within_s, self._time_out, within_s, what)

    def _time_out(self, within_s: float, what: str) -> None:
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            # The server does not read, so the client is not late: requests are queued before this one.
            self._expect(within_s, what)
            return
        if self._in_head and not self._head_bytes:
            # A connection made in advance. An answer to no request would be taken for that of the first one, which may be under way.
            self.transport.close()
            return
        detail = f"Send {what} within {within_s:g} s."
        self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "too-slow", detail))
