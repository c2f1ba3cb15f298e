"""Requests at a given rate, whether or not the server keeps up: an open loop, as independent clients are.

A closed loop would wait for a server that is late, and so never overload it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Self, cast


@dataclass
class Answers:
    """What came back: the seconds of each answer by its status. 0 stands for a connection that failed."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    @property
    def counts(self) -> Counter[int]:
        return Counter({status: len(taken) for status, taken in self.seconds.items()})

    def of(self, *statuses: int) -> list[float]:
        return sorted(s for status in statuses for s in self.seconds.get(status, []))


def percentile(ordered: Sequence[float], share: float) -> float:
    """That share of the sorted values is at most this."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Connection(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_result(0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or self._answered is None or self._answered.done():
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            self._answered.set_result(int(head[9:12]))

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing()

    async def ask(self, request: bytes) -> int:
        """The status of the answer, once all of it is there; 0 if the connection fails."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.abort()


class Clients:
    """So many connections to one server, as a gateway keeps them; from these addresses in turn, if any are given."""

    def __init__(self, port: int, connections: int, addresses: Sequence[str] = ()) -> None:
        self._port = port
        self._from = cycle([(address, 0) for address in addresses] or [None])
        self._idle: deque[Connection] = deque()
        self._open: list[Connection] = []
        self._connections = connections
        self._room = asyncio.Semaphore(connections)

    async def __aenter__(self) -> Self:
        for _ in range(self._connections):
            self._idle.append(await self._new())
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()

    async def ask(self, request: bytes, into: Answers) -> None:
        """Ask, and add the answer with the seconds since now: a wait for a connection counts.

        A server may close an idle connection at the very moment. Then the request is sent again on a new one, once (RFC 9112, 9.3.1).
        """
        began_s = time.perf_counter()
        async with self._room:
            connection = await self._connection()
            status = await connection.ask(request)
            if not status:
                connection = await self._new()
                status = await connection.ask(request)
            into.add(status, time.perf_counter() - began_s)
            if connection.usable:
                self._idle.append(connection)

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return await self._new()

    async def _new(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            Connection, "127.0.0.1", self._port, local_addr=next(self._from)
        )
        self._open.append(connection)
        return connection

    async def at_rate(self, requests: Sequence[bytes], *, per_s: float, seconds: float) -> Answers:
        """Ask them in turn, that many a second; returns when all are answered."""
        answers, asking = Answers(), set[asyncio.Task[None]]()
        started_s = time.perf_counter()
        for number in range(int(per_s * seconds)):
            due_s = started_s + number / per_s
            if (early_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            request = requests[number % len(requests)]
            task = asyncio.create_task(self.ask(request, answers))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.gather(*asking)
        return answers

    async def as_fast_as(
        self, clients: int, requests: Sequence[bytes], *, seconds: float
    ) -> Answers:
        """Ask with this many clients, each its next once it is answered: what the server can do."""
        answers = Answers()
        until_s = time.perf_counter() + seconds

        async def client(first: int) -> None:
            number = first
            while time.perf_counter() < until_s:
                await self.ask(requests[number % len(requests)], answers)
                number += clients

        await asyncio.gather(*(client(n) for n in range(clients)))
        return answers


def a_request(
    method: str, path: str, *, actor: str = "", token: str = "", body: bytes = b""
) -> bytes:
    """The bytes of a request of this actor, or of the one that the token names."""
    who = f"Authorization: Bearer {token}" if token else f"X-User-Id: {actor}"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{who}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body
