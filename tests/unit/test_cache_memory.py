"""The metric of the shared cache's memory by kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from prometheus_client import REGISTRY

from fanfold.core.ports.no_shared_cache import NoSharedCache
from feed_service.caches.cache_memory import SAMPLED_EVERY_S, watch_memory
from tests.support.clock import ManualClock


class Cache(NoSharedCache):
    """Tells these estimates, then none."""

    def __init__(self, *estimates: Mapping[str, float] | None) -> None:
        self.estimates = [*estimates]

    async def memory(self) -> Mapping[str, float] | None:
        return self.estimates.pop(0) if self.estimates else None


async def test_the_metric_is_an_average_and_stays_while_the_cache_is_away() -> None:
    cache, clock = (
        Cache({"post": 100.0, "other": 7.0}, {"post": 400.0, "graph": 90.0}, {"post": 100.0}),
        ManualClock(),
    )
    seen = []
    watching = asyncio.create_task(watch_memory(cache, clock))
    for _ in range(4):
        for _ in range(3):
            await asyncio.sleep(0)
        seen.append((of("post"), of("graph")))
        clock.advance(SAMPLED_EVERY_S)
    watching.cancel()
    assert seen == [(100, 0), (250, 45), (200, 30), (200, 30)]
    assert of("other") is None, "not one of our keys"


def of(kind: str) -> float | None:
    return REGISTRY.get_sample_value("fanfold_shared_cache_memory_bytes", {"kind": kind})
