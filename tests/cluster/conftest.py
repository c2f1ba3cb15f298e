"""One cluster for all of these tests (`make k8s-verify`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.k8s_cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running
