"""With a port of their own, metrics are there and nowhere else, and nothing else is there."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx2
import pytest

from fanfold.core.errors import Fault
from fanfold.core.settings import Settings
from fanfold.http.app import make_app, serve
from tests.support.probes import free_port


async def ready() -> None:
    """As a service that can do its work."""


@pytest.mark.slow
async def test_metrics_are_at_their_own_port_and_the_api_is_not() -> None:
    settings = Settings(port=free_port(), metrics_port=free_port())
    app = make_app(title="test", routers=[], ready=ready, metrics=not settings.metrics_port)
    assert "/metrics" not in app.openapi()["paths"]
    serving = asyncio.create_task(serve(app, settings))
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(retries=5)) as client:

        async def answers(port: int, path: str) -> int:
            answer = await client.get(f"http://127.0.0.1:{port}{path}")
            return answer.status_code

        assert await answers(settings.port, "/livez") == 200
        assert await answers(settings.metrics_port, "/metrics") == 200
        assert await answers(settings.port, "/metrics") == 404
        for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/"):
            assert await answers(settings.metrics_port, path) == 404, path
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        await serving


async def test_without_a_port_of_their_own_metrics_are_with_the_rest() -> None:
    app = make_app(title="test", routers=[], ready=ready, metrics=not Settings().metrics_port)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://test"
    ) as client:
        answer = await client.get("/metrics")
    assert "fanfold_http_requests_total" in answer.text


@pytest.mark.parametrize("setting", ["port", "metrics_port"])
async def test_a_taken_port_is_one_line_that_says_what_to_change(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holding:
        taken = holding.getsockname()[1]
        ports = {"port": free_port(), "metrics_port": free_port(), setting: taken}
        expected = rf"port {taken} is taken; choose another: FANFOLD_{setting.upper()}="
        with pytest.raises(Fault, match=expected):
            await serve(make_app(title="test", routers=[], ready=ready), Settings(**ports))
