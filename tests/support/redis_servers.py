"""Servers of a test's own that say what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[int]:
    """The port where it serves."""
    ended: list[asyncio.Event] = []

    async def until_done(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = asyncio.Event()
        ended.append(end)
        try:
            await serve(reader, writer)
            await reader.read()
        except ConnectionError:
            pass  # A client that gives up resets its connection.
        finally:
            writer.close()
            end.set()

    server = await asyncio.start_server(until_done, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for end in ended:
            await end.wait()


def always(answer: Callable[[], bytes]) -> Serve:
    """What it is at the moment, after each question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100_000):
            writer.write(answer())
            await writer.drain()

    return serve
