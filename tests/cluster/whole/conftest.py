"""One installation for all of these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.support.k8s_cluster import Cluster
from tests.support.older_version import OlderVersion, built_older_version
from tests.support.whole_on_a_cluster import Installed, installed


@pytest.fixture(scope="package")
def older(tmp_path_factory: pytest.TempPathFactory) -> OlderVersion:
    return built_older_version(tmp_path_factory.mktemp("versions") / "older")


# After the older version's image: this thread's sockets are then a node's, which leads to no package index.
@pytest.fixture(scope="package")
def fanfold(
    cluster: Cluster, older: OlderVersion, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    with installed(cluster, tmp_path_factory.mktemp("engines")) as running:
        yield running


@pytest.fixture
async def gateway(fanfold: Installed) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://{fanfold.address}", timeout=30) as client:
        yield client
