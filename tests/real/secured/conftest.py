from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.secured_cluster import Cluster, prepare


@pytest.fixture(scope="package")
def engines_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("secured"))
    nodes = (cluster.kafka, cluster.cassandra)
    try:
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait()
        asyncio.run(prepare(cluster))
        yield cluster
    finally:
        for node in nodes:
            node.stop()


@pytest.fixture
def cluster(engines_of_its_own: Cluster) -> Cluster:
    return engines_of_its_own
