"""Races on a real server: scheduled ones as in tests/property, and readers and writers that really run at the same time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from fanfold.core.settings import Settings
from tests.support.cache_races import (
    OF_A_LIST,
    OF_A_VALUE,
    OF_OUTAGES,
    CacheRaces,
    entry,
    number_of,
)
from tests.support.shared_caches import Epoch, ServerInRedis, server_in_redis
from tests.support.stores import fresh

pytestmark = pytest.mark.real

SETTINGS = Settings(feed_depth=3, cache_timeout_s=2)
SCHEDULES, STEPS = 20, 60
WRITES = 300
KINDS = {**OF_A_VALUE, **OF_A_LIST, **OF_OUTAGES, "evict": 1, "pass_time": 1}


async def test_scheduled_races(redis_url: str) -> None:
    found = Counter[str]()
    for seed in range(SCHEDULES):
        rng = random.Random(seed)
        names = rng.choices(list(KINDS), weights=list(KINDS.values()), k=STEPS)
        async with server_in_redis(SETTINGS, url=redis_url) as server:
            races = CacheRaces(server)
            await races.run([(name, rng.randrange(6)) for name in names])
        found += races.found
    assert found["value"] > 0
    assert found["list"] > 0


class Table:
    """A row and a timeline, written and then told, and read through the cache, all of it by several at a time."""

    def __init__(self, key: str, user: str) -> None:
        self.key, self.user = key, user
        self.version = self.told = 0
        self.pushed: set[int] = set()
        self.hits = self.lists = 0
        self.written = asyncio.Event()

    async def write(self, cache: SharedCache, rng: random.Random) -> None:
        for _ in range(WRITES):
            self.version += 1
            version = self.version
            await cache.forget([self.key])
            self.told = max(self.told, version)
            await cache.push([entry(version)], [self.user])
            self.pushed.add(version)
            if rng.random() < 0.1:
                await cache.forget([f"feed:user:{self.user}"])
            await asyncio.sleep(rng.random() * 0.002)

    async def look_up(self, cache: SharedCache) -> None:
        while not self.written.is_set():
            floor = self.told
            (found,) = await cache.look_up([self.key])
            if isinstance(found, Lease):
                version = self.version
                await asyncio.sleep(0)
                await cache.fill([(found, str(version).encode())])
            elif found is not None:
                self.hits += 1
                assert floor <= int(found)

    async def feed(self, cache: SharedCache) -> None:
        while not self.written.is_set():
            due = set(self.pushed)
            found = await cache.feed(self.user)
            if isinstance(found, Lease):
                entries = [entry(number) for number in range(self.version, 0, -1)]
                await asyncio.sleep(0)
                await cache.fill_feed(found, entries, end=b"")
            elif isinstance(found, FeedList):
                self.lists += 1
                assert due <= set(map(number_of, found.entries))


async def test_readers_and_writers_at_the_same_time(redis_url: str) -> None:
    settings = SETTINGS.model_copy(update={"feed_depth": 1000})
    async with server_in_redis(settings, url=redis_url) as server:
        table = Table(fresh("name:key"), fresh("bob"))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                reader = await client(server)
                tasks.create_task(table.look_up(reader))
                tasks.create_task(table.feed(reader))
            writing = [
                asyncio.create_task(table.write(await client(server), random.Random(seed)))
                for seed in range(2)
            ]
            await asyncio.gather(*writing)
            table.written.set()
    assert table.hits > 0
    assert table.lists > 0


async def client(server: ServerInRedis) -> SharedCache:
    return await server.client(Epoch())
