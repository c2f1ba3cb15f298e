"""What holds for every answer, whichever route gives it: HEAD, caching, known hosts, and clients that hang up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from http import HTTPStatus
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.http.identity.credentials import USER_ID_HEADER
from fanfold.http.problems import KEPT_BY_NOBODY, Misdirected, NotHttp, Problem, problem_response

_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_-]+", re.IGNORECASE)
_PORT = re.compile(r":[0-9]*$")

ANY_HOST = "*"
PRIVATE = KEPT_BY_NOBODY["Cache-Control"]


def host_name(sent: str) -> str:
    """The name in a `Host` header, without its port."""
    return _PORT.sub("", sent).lower()


def is_loopback_name(host: str) -> bool:
    """Whether no name server decides what this name means: `localhost`, 127.x.x.x or [::1]."""
    return _LOOPBACK.fullmatch(host) is not None


class Head:
    """ASGI middleware: HEAD wherever GET is served, with the same fields and no body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = False

        async def without_body(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.start":
                await send(message)
            ended = True
            await send({"type": "http.response.body", "body": b""})

        async def gone_once_answered() -> Message:
            # Tell a stream that its client is gone: it would go on for ever.
            return {"type": "http.disconnect"} if ended else await receive()

        await self.app({**scope, "method": "GET"}, gone_once_answered, without_body)


class Private:
    """ASGI middleware: no cache keeps an answer unless its route says otherwise, and no browser guesses its type."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def kept_private(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_plain(message):
                message["headers"] = [*message["headers"], *_PRIVATE_FIELDS]
            elif message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", PRIVATE)
                if headers.get("Content-Type", "").startswith("text/event-stream"):
                    headers["Cache-Control"] = PRIVATE  # FastAPI's own header lets a cache keep it
                if message["status"] == HTTPStatus.NO_CONTENT:
                    del headers["Content-Type"]
                headers.add_vary_header(_VARY)
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, kept_private if scope["type"] == "http" else send)


_VARY = f"{USER_ID_HEADER}, Authorization"
_PRIVATE_FIELDS = (
    (b"cache-control", PRIVATE.encode()),
    (b"vary", _VARY.encode()),
    (b"x-content-type-options", b"nosniff"),
)
_ADDED = {name for name, _ in _PRIVATE_FIELDS}


def _is_plain(start: Message) -> bool:
    """Whether nothing has to be changed in it, only added: so it is with nearly every answer."""
    for name, value in start["headers"]:
        if name in _ADDED or value.startswith(b"text/event-stream"):
            return False
    return bool(start["status"] != HTTPStatus.NO_CONTENT)


class KnownHosts:
    """ASGI middleware: 421 for a host that this server is not, so that no web page reaches it by a name of its own.

    `hosts` are names without ports; `*` allows all, where a gateway checks them. Loopback addresses are always allowed,
    and so are names without a dot: no public name server answers those, but a container or a cluster does.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self._any = ANY_HOST in hosts
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # HTTP/1.0 has no Host header; and if there are two, a proxy may have checked the other one.
        if len(sent) > 1 or (not sent and scope["http_version"] != "1.0"):
            problem: Problem = NotHttp("Send exactly one Host header.")
            await problem_response(problem)(scope, receive, send)
        elif sent and not self._knows(sent[0]):
            problem = Misdirected(
                "Ask by a name of this server, such as 127.0.0.1 or localhost; its operator adds names by FANFOLD_ALLOWED_HOSTS."
            )
            await problem_response(problem)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _knows(self, sent: str) -> bool:
        host = host_name(sent)
        return (
            self._any
            or host in self._hosts
            or is_loopback_name(host)
            or _LABEL.fullmatch(host) is not None
        )


class EndsWithClient:
    """ASGI middleware: a read stops when its client hangs up. Writes are finished, for their events may be in the log.

    Looked for only once a read has taken a while: most have been answered by then.
    """

    def __init__(self, app: ASGIApp, *, after_s: float = 0.1) -> None:
        self.app = app
        self._after_s = after_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        reading = cast("asyncio.Task[None]", asyncio.current_task())
        watching: asyncio.Task[None] | None = None
        hung_up = False

        async def watch() -> None:
            nonlocal hung_up
            while (await receive())["type"] != "http.disconnect":
                pass
            hung_up = True
            reading.cancel()

        def begin() -> None:
            nonlocal watching
            watching = asyncio.create_task(watch())

        timer = asyncio.get_running_loop().call_later(self._after_s, begin)
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if not hung_up:
                raise
            reading.uncancel()
        finally:
            timer.cancel()
            if watching is not None:
                watching.cancel()
