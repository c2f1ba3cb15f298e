"""A service that stops, as its gateway sees it: nothing that was sent stays without an answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import yaml
from fastapi import FastAPI

from deploy.gateway.configure import TEMPLATE
from fanfold.http import server as serving
from fanfold.http.listen import listen
from fanfold.http.protocol import Bounds
from fanfold.http.server import Server
from fanfold.http.server_config import server_config

pytestmark = pytest.mark.timeout(60)

BOUNDS = Bounds(head_s=3_600)
"""A connection without a request is closed by the stop, and by nothing else."""
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Running:
    server: Server
    listener: socket.socket
    port: int
    stopped: asyncio.Task[None]
    slow: asyncio.Event

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.server.handle_exit(number, None)


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    app, slow = FastAPI(), asyncio.Event()

    @app.get("/")
    async def root() -> str:
        return "here"

    @app.get("/slow")
    async def after_the_event() -> str:
        await slow.wait()
        return "late"

    (listener,) = listen("127.0.0.1", 0)
    config = server_config(app, BOUNDS, stop_grace_s=5)
    server = Server(config, on_stop=lambda: None)
    stopped = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    try:
        yield Running(server, listener, listener.getsockname()[1], stopped, slow)
    finally:
        slow.set()
        server.force_exit = server.should_exit = True
        await stopped


@asynccontextmanager
async def connected(
    its: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", its.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(6)


async def listens_no_more(port: int) -> None:
    """Return when a new connection is refused."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(0.01)


async def test_a_request_on_an_idle_connection_is_answered_and_is_the_last_one() -> None:
    async with running() as its, connected(its) as (reader, writer):
        writer.write(REQUEST)
        head, _ = await answer(reader)
        assert b"connection: close" not in head
        its.stop()
        await listens_no_more(its.port)
        # The gateway sent it before it knew.
        writer.write(REQUEST)
        head, body = await answer(reader)
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b'"here"')
        assert b"\r\nconnection: close\r\n" in head
        assert await reader.read() == b""
        await its.stopped


async def test_a_request_in_flight_is_answered_and_its_answer_is_the_last_one() -> None:
    async with running() as its, connected(its) as (reader, writer):
        writer.write(REQUEST.replace(b"/ ", b"/slow ", 1))
        while its.server.server_state.tasks == set():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        its.stop()
        await listens_no_more(its.port)
        its.slow.set()
        head, body = await answer(reader)
        assert body == b'"late"'
        assert b"\r\nconnection: close\r\n" in head


async def test_a_connection_that_only_the_kernel_has_made_is_served() -> None:
    async with running() as its:
        # This loop accepts nothing meanwhile.
        with socket.create_connection(("127.0.0.1", its.port)) as waiting:
            waiting.sendall(REQUEST)
            its.stop()
            await its.server._take_no_more_connections([its.listener])
            waiting.setblocking(False)
            assert b"200 OK" in await asyncio.get_running_loop().sock_recv(waiting, 1000)


async def test_at_a_terminal_idle_connections_are_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "LAST_REQUESTS_S", 3_600)
    async with running() as its, connected(its) as (reader, _):
        its.stop(signal.SIGINT)
        assert await reader.read() == b""
        await its.stopped


async def test_idle_connections_are_closed_when_their_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "LAST_REQUESTS_S", 0.1)
    async with running() as its, connected(its) as (reader, _):
        its.stop()
        assert await reader.read() == b""
        await its.stopped


def test_the_gateway_closes_its_idle_connections_first() -> None:
    gateway = yaml.safe_load(TEMPLATE.read_text())
    for cluster in gateway["static_resources"]["clusters"]:
        (options,) = cluster["typed_extension_protocol_options"].values()
        idle = options["common_http_protocol_options"]["idle_timeout"]
        assert int(idle.removesuffix("s")) < serving.LAST_REQUESTS_S, cluster["name"]
