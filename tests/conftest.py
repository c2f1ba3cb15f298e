from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import RealEngines, running_engines


@pytest.fixture(scope="session")
def engines() -> Iterator[RealEngines]:
    """The real Kafka and Cassandra; the first test that asks for them waits until they answer."""
    with running_engines() as pair:
        yield pair
