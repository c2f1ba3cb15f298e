"""Answers to HTTP/1.0, which knows no chunks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def until_close(cycle: RequestResponseCycle) -> Callable[[Any], Awaitable[None]]:
    """The sending of an answer to HTTP/1.0 that has no length: its end is that of the connection (RFC 9112, 6.1)."""
    send = cycle.send
    unknown_length = False

    async def unchunked(message: Any) -> None:
        nonlocal unknown_length
        if message["type"] == "http.response.start":
            fields = {name.lower() for name, _ in message.get("headers", ())}
            unknown_length = b"content-length" not in fields
            if unknown_length:
                cycle.chunked_encoding = False
        elif unknown_length:
            # uvicorn counts this down, and refuses a body that is longer or shorter.
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return unchunked
