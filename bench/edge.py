"""(j) The HTTP edge: what verifying a token and compressing an answer cost a request. Without engines."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from bench.fan_outs import WrongResult
from bench.figures import Figure, figure
from bench.report import Cell, Section
from bench.stack import Bench
from fanfold.core.clock import SystemClock
from fanfold.http.compression import Compression
from tests.support.tokens import ALGORITHMS, an_identity, claims, signed

USES = 20
"""Requests with one token: a client that polls a feed every half a minute for ten minutes."""
SIZES = {
    "a small page": 4 * 1024,
    "a page of 100 posts": 19 * 1024,
    "the longest page": 1600 * 1024,
}


async def edge(bench: Bench) -> Section:
    section = Section("j", "Tokens and compression: CPU a request, µs")
    for algorithm in ALGORITHMS:
        section.rows += await _tokens(bench, algorithm)
    for what, size in SIZES.items():
        section.rows.append(await _compression(bench, what, size))
    section.notes += [
        f"A token is verified once in a process, and known by its hash from then on. The mean is over {USES} requests with one token.",
        "The loop's part is the CPU of the event loop's own thread: while another thread compresses, the loop answers others.",
    ]
    return section


async def _tokens(bench: Bench, algorithm: str) -> list[dict[str, Cell]]:
    """What the first request with a token costs, the next ones, and the mean."""
    count = bench.pick(400, 10)
    firsts, nexts = [], []
    for _ in range(bench.rounds):
        identity, now_s = an_identity(SystemClock()), time.time()
        asked = [
            _asking(signed(claims(f"user-{n}", now_s=now_s), algorithm=algorithm))
            for n in range(count)
        ]
        firsts.append(await _each_us(identity.credential, asked))
        nexts.append(await _each_us(identity.credential, asked))
    means = [
        (first + (USES - 1) * known) / USES for first, known in zip(firsts, nexts, strict=True)
    ]
    rows = {"first use": firsts, "known": nexts, f"mean of {USES}": means}
    return [_row(f"{algorithm}, {what}", figure(found), "", "") for what, found in rows.items()]


async def _compression(bench: Bench, what: str, size: int) -> dict[str, Cell]:
    count = bench.pick(20, 2)
    body = _json_of(size)
    whole, of_loop, sent = [], [], 0
    for _ in range(bench.rounds):
        began_s, began_loop_s = time.process_time(), time.thread_time()
        for _ in range(count):
            sent = await _compressed(body)
        of_loop.append((time.thread_time() - began_loop_s) / count * 1e6)
        whole.append((time.process_time() - began_s) / count * 1e6)
    if not 0 < sent < size:
        raise WrongResult(f"{what} of {size} bytes was sent as {sent}")
    return _row(f"{what}, {size:,} bytes", figure(whole), figure(of_loop), sent)


def _row(what: str, cpu: Figure, of_loop: Cell, sent: Cell) -> dict[str, Cell]:
    return {"what": what, "CPU": cpu, "of the loop": of_loop, "bytes sent": sent}


async def _each_us(
    call: Callable[[HTTPConnection], Awaitable[Any]], asked: list[HTTPConnection]
) -> float:
    began_s = time.process_time()
    for connection in asked:
        await call(connection)
    return (time.process_time() - began_s) / len(asked) * 1e6


def _asking(token: str) -> HTTPConnection:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return HTTPConnection({"type": "http", "headers": headers})


def _json_of(size: int) -> bytes:
    """Half of it repeats, as names of fields do, and half doesn't."""
    piece = 64
    parts = (b'"content": "%b"' % secrets.token_hex(piece // 4).encode() for _ in range(size // 48))
    return b", ".join(parts)[:size].ljust(size)


async def _compressed(body: bytes) -> int:
    """The bytes of the answer."""
    sent: list[bytes] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
    await Compression(app)(scope, receive, send)
    return sum(map(len, sent))
