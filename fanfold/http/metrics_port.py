"""Metrics at a port of their own, so that the systems that scrape them reach no other route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fanfold.core.settings import Settings
from fanfold.http.answers import KnownHosts
from fanfold.http.listen import close, listen
from fanfold.http.metrics import exposition
from fanfold.http.protocol import Bounds
from fanfold.http.server_config import server_config

_MOST_SCRAPERS = 20
_STOP_GRACE_S = 2


@asynccontextmanager
async def metrics_port(settings: Settings) -> AsyncIterator[None]:
    """Serve `/metrics` at `FANFOLD_METRICS_PORT` meanwhile, if it is set. Raises `Fault` if it can't listen there."""
    if not settings.metrics_port:
        yield
        return
    choose_port = "FANFOLD_METRICS_PORT=…"
    sockets = listen(settings.host, settings.metrics_port, choose_port=choose_port)
    config = server_config(
        KnownHosts(Starlette(routes=[Route("/metrics", _metrics)]), settings.known_hosts),
        Bounds(connections=_MOST_SCRAPERS),
        stop_grace_s=_STOP_GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=list(sockets)), name="metrics")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        # A server that was stopped before it had started leaves them open.
        close(sockets)


async def _metrics(_request: Request) -> Response:
    return exposition()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the server of the API, after which this one stops."""
        yield
