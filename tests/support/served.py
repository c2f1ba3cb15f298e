"""An application served over a socket: in this loop, or for clients that are not async in a thread with its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from queue import Queue

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from fanfold.http.protocol import Bounds
from fanfold.http.server_config import server_config

AppFactory = Callable[[], AbstractAsyncContextManager[FastAPI]]


_BOUNDS = Bounds()


class _Server(uvicorn.Server):
    """Signals are for the process that runs the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: ASGIApp, bounds: Bounds = _BOUNDS) -> AsyncIterator[int]:
    """The port at which the application answers, as a service serves it, in this loop."""
    config = server_config(app, bounds, stop_grace_s=1)
    config.port = 0
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="listening")
    while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@contextmanager
def served(application: AppFactory) -> Iterator[str]:
    """The URL at which the application answers. It is gone afterwards."""
    started: Queue[uvicorn.Server | None] = Queue()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(application, started)))
    thread.start()
    server = started.get(timeout=30)
    assert server is not None, "the application did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


async def _serve(application: AppFactory, started: Queue[uvicorn.Server | None]) -> None:
    try:
        async with application() as app:
            server = uvicorn.Server(
                uvicorn.Config(app, port=0, http="httptools", access_log=False, log_config=None)
            )
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            started.put(server)
            await serving
    finally:
        started.put(None)
