"""Compression of whole JSON answers. Streams are never compressed: a client must see each event when it comes."""

from __future__ import annotations

import asyncio
import gzip
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST_BYTES: Final = 1024
"""A smaller answer fits into one packet, compressed or not."""

IN_THE_LOOP_BYTES: Final = 8 * 1024
"""A larger one is compressed in a thread: a page of a hundred long posts would hold the event loop for 30 ms."""

_LEVEL: Final = 1  # a tenth larger than by level 6, in less than half of the time
_COMPRESSED: Final = ("application/json", "application/problem+json")


class Compression:
    """ASGI middleware: gzip for a client that accepts it, where the answer is one piece of JSON of some length."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _compressible(message):
                start = message
                return
            if start is not None:
                held, start = start, None
                headers = MutableHeaders(scope=held)
                headers.add_vary_header("Accept-Encoding")
                whole = not message.get("more_body") and "body" in message
                accepted = Headers(scope=scope).get("accept-encoding", "")
                if whole and accepts_gzip(accepted):
                    message = {**message, "body": await _gzip(message["body"])}
                    headers["Content-Encoding"] = "gzip"
                    headers["Content-Length"] = str(len(message["body"]))
                await send(held)
            await send(message)

        await self.app(scope, receive, compressed)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` names gzip, or anything, with a weight above 0 (RFC 9110, 12.5.3)."""
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        weight = parameter.strip().removeprefix("q=").strip()
        weights[coding.strip()] = not (weight and weight.strip("0.") == "")
    return weights.get("gzip", weights.get("*", False))


def _compressible(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    length = headers.get("content-length", "")
    return (
        headers.get("content-type", "").startswith(_COMPRESSED)
        and "content-encoding" not in headers
        and length.isdecimal()
        and int(length) >= LEAST_BYTES
    )


async def _gzip(body: bytes) -> bytes:
    if len(body) <= IN_THE_LOOP_BYTES:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
