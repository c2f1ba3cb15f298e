"""A cache: which loads are shared, and how long values are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from fanfold.core.errors import Unavailable
from feed_service.caches.cache import Cache, Incomplete
from tests.support.clock import ManualClock


class Shelf:
    """What a cache loads from; loads can be paused after they have read."""

    def __init__(self) -> None:
        self.values = {"a": 1, "b": 2, "c": 3}
        self.loads: list[list[str]] = []
        self.away = False
        self.without: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def load(self, keys: Collection[str]) -> dict[str, int]:
        self.loads.append(sorted(keys))
        if self.away:
            raise Unavailable("the shelf is away")
        read = {key: self.values[key] for key in keys if key in self.values}
        await self.open.wait()
        if self.without:
            found = {key: value for key, value in read.items() if key not in self.without}
            raise Incomplete(found)
        return read


class Setting:
    def __init__(self, *, size: int = 10, ttl_s: float = 60) -> None:
        self.clock = ManualClock()
        self.shelf = Shelf()
        self.cache: Cache[str, int] = Cache(
            "test",
            self.shelf.load,
            size=size,
            ttl_s=ttl_s,
            clock=self.clock,
        )


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_key_is_loaded_once_and_only_what_is_missing() -> None:
    it = Setting()
    assert await it.cache.get(["a"]) == {"a": 1}
    assert await it.cache.get(["a", "b"]) == {"a": 1, "b": 2}
    assert it.shelf.loads == [["a"], ["b"]]


async def test_a_missing_value_is_not_cached() -> None:
    it = Setting()
    for _ in range(2):
        assert await it.cache.get(["x"]) == {}
    assert it.shelf.loads == [["x"], ["x"]]


async def test_an_entry_is_never_older_than_its_lifetime() -> None:
    it = Setting(ttl_s=60)
    await it.cache.get(["a"])
    it.clock.advance(59.9)
    await it.cache.get(["a"])
    assert len(it.shelf.loads) == 1
    it.clock.advance(0.1)
    await it.cache.get(["a"])
    assert len(it.shelf.loads) == 2


async def test_the_lifetime_counts_from_the_beginning_of_the_load() -> None:
    it = Setting(ttl_s=60)
    it.shelf.open.clear()
    reader = asyncio.create_task(it.cache.get(["a"]))
    await settle()
    it.clock.advance(59)
    it.shelf.values["a"] = 10
    it.shelf.open.set()
    assert await reader == {"a": 1}
    assert await it.cache.get(["a"]) == {"a": 1}
    it.clock.advance(1)
    assert await it.cache.get(["a"]) == {"a": 10}


async def test_a_request_joins_no_load_that_began_longer_ago_than_the_lifetime() -> None:
    it = Setting(ttl_s=60)
    it.shelf.open.clear()
    before = asyncio.create_task(it.cache.get(["a"]))
    await settle()
    it.shelf.values["a"] = 10
    it.clock.advance(60)
    after = asyncio.create_task(it.cache.get(["a"]))
    await settle()
    it.shelf.open.set()
    assert (await before, await after) == ({"a": 1}, {"a": 10})


async def test_what_is_found_while_a_load_is_incomplete_is_not_lost_and_not_kept() -> None:
    it = Setting()
    await it.cache.get(["a"])
    it.shelf.without = {"c"}
    with pytest.raises(Incomplete) as incomplete:
        await it.cache.get(["a", "b", "c"])
    assert incomplete.value.found == {"a": 1, "b": 2}
    it.shelf.without.clear()
    assert await it.cache.get(["a", "b", "c"]) == {"a": 1, "b": 2, "c": 3}
    assert it.shelf.loads == [["a"], ["b", "c"], ["b", "c"]]


async def test_the_cache_is_bounded_and_the_oldest_goes_first() -> None:
    it = Setting(size=2)
    for key in ("a", "b", "c"):
        await it.cache.get([key])
    it.shelf.loads.clear()
    assert await it.cache.get(["b", "c"]) == {"b": 2, "c": 3}
    assert it.shelf.loads == []
    await it.cache.get(["a"])
    assert it.shelf.loads == [["a"]]


async def test_thousands_of_requests_for_a_cold_key_share_one_load() -> None:
    it = Setting()
    it.shelf.open.clear()
    readers = [asyncio.create_task(it.cache.get(["a"])) for _ in range(2000)]
    await settle()
    it.shelf.open.set()
    assert all(value == {"a": 1} for value in await asyncio.gather(*readers))
    assert it.shelf.loads == [["a"]]


async def test_requests_for_overlapping_keys_load_each_key_once() -> None:
    it = Setting()
    it.shelf.open.clear()
    first = asyncio.create_task(it.cache.get(["a", "b"]))
    await settle()
    second = asyncio.create_task(it.cache.get(["b", "c"]))
    await settle()
    it.shelf.open.set()
    assert (await first, await second) == ({"a": 1, "b": 2}, {"b": 2, "c": 3})
    assert it.shelf.loads == [["a", "b"], ["c"]]


async def test_a_failed_load_reaches_all_waiting_requests_and_is_tried_again() -> None:
    it = Setting()
    it.shelf.away = True
    readers = [asyncio.create_task(it.cache.get(["a"])) for _ in range(3)]
    for failure in await asyncio.gather(*readers, return_exceptions=True):
        assert isinstance(failure, Unavailable)
    it.shelf.away = False
    assert await it.cache.get(["a"]) == {"a": 1}
    assert len(it.shelf.loads) == 2


async def test_closing_ends_the_loads_in_flight() -> None:
    it = Setting()
    it.shelf.open.clear()
    reader = asyncio.create_task(it.cache.get(["a"]))
    await settle()
    await it.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await reader


async def test_what_is_dropped_is_loaded_again_whatever_a_load_finds_that_had_begun() -> None:
    it = Setting()
    await it.cache.get(["b"])
    it.shelf.open.clear()
    before = asyncio.create_task(it.cache.get(["a", "c"]))
    await settle()
    it.shelf.values |= {"a": 10, "b": 20, "c": 30}
    it.cache.drop("a")
    it.cache.drop("b")
    after = asyncio.create_task(it.cache.get(["a", "b"]))
    await settle()
    it.shelf.open.set()
    assert (await before, await after) == ({"a": 1, "c": 3}, {"a": 10, "b": 20})
    assert await it.cache.get(["a", "b", "c"]) == {"a": 10, "b": 20, "c": 3}
    it.cache.drop("x")
