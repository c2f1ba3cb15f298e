"""Requests under load: at a fixed rate with intended-send times (open loop), and at the highest rate (saturation).

A minimal HTTP/1.1 client, because a comfortable one would cost more CPU than the service that it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from bench.fan_outs import WrongResult
from bench.figures import percentile

CONNECTIONS = 64
_OVERLOADED, _AGAIN_AFTER_S = "urn:fanfold:problem:overloaded", 0.05


class Connection:
    """One keep-alive connection: one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str, user: str) -> bytes:
        """The body of a 200. Raises `WrongResult` for anything else but a refusal: see `_answered`."""
        request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-User-Id: {user}\r\n\r\n".encode()
        return await self._answered(path, request, (b"200",))

    async def write(self, method: str, path: str, user: str, body: bytes = b"") -> bytes:
        """The body of a 200, 201 or 204. Raises `WrongResult` for anything else but a refusal: see `_answered`."""
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\nX-User-Id: {user}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return await self._answered(path, request, (b"200", b"201", b"204"))

    async def _answered(self, path: str, request: bytes, expected: Collection[bytes]) -> bytes:
        """A request that is refused for overload is sent again, until it is answered."""
        while True:
            self._writer.write(request)
            try:
                return await self._answer(path, expected)
            except WrongResult as error:
                if _OVERLOADED not in str(error):
                    raise
            # What is due meanwhile waits, so that latencies count it.
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def _answer(self, path: str, expected: Collection[bytes]) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(content_length(head))
        if head.split(b" ", 2)[1] not in expected:
            raise WrongResult(f"{path}: {head.splitlines()[0].decode()} {body[:200].decode()}")
        return body

    def close(self) -> None:
        self._writer.close()


def content_length(head: bytes) -> int:
    """The content length of an answer's head; 0 without one."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


@asynccontextmanager
async def connections(url: str, count: int = CONNECTIONS) -> AsyncIterator[list[Connection]]:
    where = urlsplit(url)
    opened = [
        Connection(*await asyncio.open_connection(where.hostname, where.port)) for _ in range(count)
    ]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


Request = tuple[str, str]
"""Path and user."""
Call = Callable[[Connection], Awaitable[object]]
"""One request on a connection that is free."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of requests at a fixed rate, from the intended time of sending to the answer."""

    asked_per_s: float
    answered_per_s: float
    ms: list[float]

    def ms_at(self, share: float) -> float:
        return percentile(self.ms, share)


def intended_times(count: int, rate: float) -> list[float]:
    """Seconds after the start at which each request is due: evenly spaced, independent of the answers."""
    return [number / rate for number in range(count)]


async def at_rate(
    pool: Sequence[Connection], requests: Sequence[Request], rate: float
) -> Latencies:
    """GETs at a rate: see `calls_at_rate`."""
    return await calls_at_rate(pool, [partial(_get, request) for request in requests], rate)


async def as_many_as_go(
    pool: Sequence[Connection], request: Callable[[int], Request], seconds: float
) -> float:
    """GETs as fast as they are answered: see `as_many_calls_as_go`."""
    return await as_many_calls_as_go(pool, lambda number: partial(_get, request(number)), seconds)


async def _get(request: Request, connection: Connection) -> None:
    await connection.get(*request)


async def calls_at_rate(
    pool: Sequence[Connection], calls: Sequence[Call], rate: float
) -> Latencies:
    """Open loop: a slow answer delays no other request, and waiting for a connection counts as latency."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in pool:
        free.put_nowait(connection)
    latencies: list[float] = []
    started = time.perf_counter()

    async def one(call: Call, due: float) -> None:
        connection = await free.get()
        await call(connection)
        free.put_nowait(connection)
        latencies.append((time.perf_counter() - started - due) * 1000)

    async with asyncio.TaskGroup() as tasks:
        for call, due in zip(calls, intended_times(len(calls), rate), strict=True):
            ahead = due - (time.perf_counter() - started)
            if ahead > 0:
                await asyncio.sleep(ahead)
            tasks.create_task(one(call, due))
    return Latencies(rate, len(calls) / (time.perf_counter() - started), latencies)


async def as_many_calls_as_go(
    pool: Sequence[Connection], call: Callable[[int], Call], seconds: float
) -> float:
    """Answers a second when each connection sends its next request at once (closed loop: it gives no latency)."""
    ends = time.perf_counter() + seconds
    answered = 0

    async def keep_asking(connection: Connection) -> None:
        nonlocal answered
        while time.perf_counter() < ends:
            answered += 1
            await call(answered)(connection)

    started = time.perf_counter()
    await asyncio.gather(*(keep_asking(connection) for connection in pool))
    return answered / (time.perf_counter() - started)
