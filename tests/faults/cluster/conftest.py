"""One cluster for all tests of this folder: its start takes a minute or two. A test leaves it whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalSystem]:
    """The system of `make up NODES=3`, in which an author with ten followers is pulled."""
    with a_system_for_a_load("cluster", workers=2, nodes=3) as system:
        yield system


@pytest.fixture
async def gateway(cluster: LocalSystem) -> AsyncIterator[httpx2.AsyncClient]:
    """For a test that may stop processes: those that it leaves stopped when it fails are started again."""
    async with client_of(cluster) as client:
        try:
            yield client
        finally:
            cluster.start(*cluster.plan.names)
