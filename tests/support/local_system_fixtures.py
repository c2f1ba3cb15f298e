"""The fixtures of the tests of `make up`: a conftest imports them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.jars import JARS, directory_in_memory
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


@contextmanager
def a_system_for_a_load(
    name: str, *, workers: int, nodes: int = 1, **environment: str
) -> Iterator[LocalSystem]:
    """The system of `make up`, in which an author with ten followers is pulled; see `nothing_goes_wrong`. `environment`: further settings."""
    if not JARS.exists():
        pytest.skip("`make up` starts the engines from their jars: `scripts/fetch_engines jars`")
    # Nodes that sync their commit logs would wait for one disk.
    home = Path(tempfile.mkdtemp(prefix=f"fanfold-{name}-", dir=directory_in_memory()))
    settings = {"FANFOLD_PULL_THRESHOLD": "10", "FANFOLD_OVERLAP_S": "2", **environment}
    running = a_local_system(home, workers=workers, nodes=nodes, **settings)
    try:
        running.up()
        yield running
    finally:
        running.down()
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def client_of(
    system: LocalSystem, *, address: str = "127.0.0.1"
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client at this address that sends a token of the user in `X-User-Id`, as a test sets it."""
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
        transport=httpx2.AsyncHTTPTransport(
            local_address=address, limits=httpx2.Limits(max_connections=1_000)
        ),
        event_hooks={"request": [with_token]},
    ) as client:
        yield client
