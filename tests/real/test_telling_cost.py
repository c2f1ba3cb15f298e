"""What it costs a worker to tell the shared cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.adapters.telling_stores import telling
from fanfold.core.clock import SystemClock
from fanfold.core.ports import Pointer
from fanfold.core.settings import Settings
from tests.support.shared_caches import Epoch, answering
from tests.support.stores import a_post_id, fresh

pytestmark = pytest.mark.real

READERS = 2_000
SLICES = 20


class NoTimelines:
    """Writes nothing, so that only the telling is measured."""

    def __getattr__(self, name: str) -> Any:
        return None

    async def push(self, pointers: Sequence[Pointer], user_ids: Sequence[str]) -> int:
        return len(pointers) * len(user_ids)


@pytest.mark.alone
async def test_a_delivery_to_a_reader_who_is_not_cached_costs_a_microsecond_at_most(
    redis_url: str,
) -> None:
    clock = SystemClock()
    settings = Settings(cache=redis_url)
    timelines: Any = NoTimelines()
    tables = replace(memory_stores(settings, clock=clock), timelines=timelines)
    readers = [fresh("reader") for _ in range(READERS)]
    async with redis_shared_cache(settings, clock=clock, epoch=Epoch()) as cache:
        await answering(cache)
        stores = telling(tables, cache, writer_id="worker", clock=clock)
        runs = []
        for _ in range(5):
            began_s = time.process_time()
            for _ in range(SLICES):
                await stores.timelines.push([Pointer(a_post_id(), "bob")], readers)
            runs.append((time.process_time() - began_s) / SLICES / READERS * 1e6)
        assert await tables.cache_switch.outages() == []
    assert min(runs) <= 1.0, f"µs a delivery: {runs}"
