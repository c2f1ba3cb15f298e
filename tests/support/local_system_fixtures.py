"""The fixtures of the tests of `make up`: a conftest imports them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.support.jars import JARS
from tests.support.local_system import LocalSystem, a_local_system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    if not JARS.exists():
        pytest.skip("`make up` starts the engines from their jars: `scripts/fetch_engines jars`")
    running = a_local_system(tmp_path_factory.mktemp("a system") / "of its own", workers=2)
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture
async def gateway(system: LocalSystem) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(system) as client:
        yield client


@asynccontextmanager
async def client_of(system: LocalSystem) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that sends a token of the user in `X-User-Id`, as a test sets it."""
    tokens: dict[str, str] = {}

    async def with_token(request: httpx2.Request) -> None:
        if (user_id := request.headers.pop("X-User-Id", None)) is not None:
            if user_id not in tokens:
                tokens[user_id] = system.token(user_id)
            request.headers["Authorization"] = f"Bearer {tokens[user_id]}"

    async with httpx2.AsyncClient(
        base_url=system.plan.system().gateway,
        # Longer than the gateway gives a service, so that its answer is seen also when this process has no core.
        timeout=30,
        # A frozen process keeps the requests that it has.
        limits=httpx2.Limits(max_connections=1_000),
        event_hooks={"request": [with_token]},
    ) as client:
        yield client
