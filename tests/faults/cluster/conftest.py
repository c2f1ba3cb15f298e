"""One cluster for all tests of this folder: its start takes a minute or two. A test leaves it whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.jars import JARS, directory_in_memory
from tests.support.local_system import LocalSystem, a_local_system
from tests.support.local_system_fixtures import client_of


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalSystem]:
    """The system of `make up NODES=3`, in which an author with ten followers is pulled."""
    if not JARS.exists():
        pytest.skip("`make up` starts the engines from their jars: `scripts/fetch_engines jars`")
    # Three nodes that sync their commit logs would wait for one disk.
    home = Path(tempfile.mkdtemp(prefix="fanfold-cluster-", dir=directory_in_memory()))
    system = a_local_system(
        home, workers=2, nodes=3, FANFOLD_PULL_THRESHOLD="10", FANFOLD_OVERLAP_S="2"
    )
    try:
        system.up()
        yield system
    finally:
        system.down()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def gateway(cluster: LocalSystem) -> AsyncIterator[httpx2.AsyncClient]:
    """For a test that may stop processes: those that it leaves stopped when it fails are started again."""
    async with client_of(cluster) as client:
        try:
            yield client
        finally:
            cluster.start(*cluster.plan.names)
