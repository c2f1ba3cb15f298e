"""The shared cache when its server dies, hangs, comes back with old content, is full, or is replaced. Nothing stale is ever found."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from fanfold.adapters.redis.link import checked
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from fanfold.core.settings import Settings
from tests.support.eventually import eventually
from tests.support.own_time import own_s
from tests.support.redis_node import RedisFromPath
from tests.support.shared_caches import Epoch, a_redis_of_its_own, answering, plain_link
from tests.support.stores import fresh
from tests.support.switched_address import SwitchedAddress

pytestmark = pytest.mark.real

TIMEOUT_S = 0.2
# What a busy machine adds.
MARGIN_S = 0.5
SETTINGS = Settings(cache_timeout_s=TIMEOUT_S, feed_depth=10)


@asynccontextmanager
async def a_client(settings: Settings) -> AsyncIterator[SharedCache]:
    async with redis_shared_cache(settings, clock=SystemClock(), epoch=Epoch()) as cache:
        await answering(cache)
        yield cache


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def a_server(opened: AsyncExitStack, *options: str) -> tuple[Settings, RedisFromPath]:
    return await opened.enter_async_context(a_redis_of_its_own(SETTINGS, *options))


async def command(settings: Settings, *words: str | int) -> Any:
    async with plain_link(settings) as link:
        (answer,) = checked(await link.ask(words))
        return answer


async def filled(cache: SharedCache, key: str, value: bytes) -> None:
    (lease,) = await cache.look_up([key])
    assert isinstance(lease, Lease)
    await cache.fill([(lease, value)])
    assert await cache.look_up([key]) == [value]


async def filled_list(cache: SharedCache, user: str, entries: list[bytes]) -> FeedList:
    lease = await cache.feed(user)
    assert isinstance(lease, Lease)
    await cache.fill_feed(lease, entries, end=b"")
    found = await cache.feed(user)
    assert isinstance(found, FeedList)
    return found


async def until_void(cache: SharedCache, key: str, user: str) -> None:
    """Return once the cache is in use again; what it held before the fault is never found."""

    async def in_use() -> bool:
        (value,), feed = await cache.look_up([key]), await cache.feed(user)
        assert not isinstance(value, bytes), "a value from before the fault"
        assert not isinstance(feed, FeedList), "a list from before the fault"
        (probe,) = await cache.look_up([fresh("name:probe")])
        return isinstance(probe, Lease)

    await eventually(in_use, within_s=30, what="the cache is in use again")
    await in_use()


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    began = own_s()
    await call()
    return own_s() - began


async def killed(node: RedisFromPath) -> None:
    await asyncio.to_thread(node.kill)


async def started(node: RedisFromPath) -> None:
    node.launch()
    await asyncio.to_thread(node.wait)


async def test_a_killed_cache_costs_readers_no_time_and_tells_writers(
    opened: AsyncExitStack,
) -> None:
    settings, node = await a_server(opened)
    cache = await opened.enter_async_context(a_client(settings))
    key, user = fresh("name:a"), fresh("bob")
    await filled(cache, key, b"x")
    known = await filled_list(cache, user, [b"1"])
    (lease,) = await cache.look_up([fresh("name:b")])
    assert isinstance(lease, Lease)
    await killed(node)

    async def all_reads() -> None:
        assert await cache.look_up([key]) == [None]
        assert await cache.feed(user) is None
        await cache.fill([(lease, b"y")])
        await cache.fill_feed(lease, [], end=b"")
        await cache.extend_feed(user, known, [b"0"], end=b"")

    assert await seconds(all_reads) < TIMEOUT_S + MARGIN_S
    for _ in range(3):
        assert await seconds(all_reads) < 0.05, "a cache that is known to be away is not asked"
    with pytest.raises(Unavailable):
        await cache.forget([key])
    with pytest.raises(Unavailable):
        await cache.push([b"2"], [user])
    with pytest.raises(Unavailable):
        await cache.ping()

    await started(node)
    await answering(cache)
    await until_void(cache, key, user)
    other, mary = fresh("name:a"), fresh("mary")
    await filled(cache, other, b"y")
    await filled_list(cache, mary, [b"1"])


async def test_a_write_to_a_cache_that_has_just_restarted_needs_no_second_try(
    opened: AsyncExitStack,
) -> None:
    settings, node = await a_server(opened)
    cache = await opened.enter_async_context(a_client(settings))
    await killed(node)
    await started(node)
    await asyncio.sleep(0.6)
    await cache.forget(["name:a"])


async def test_nothing_from_an_old_snapshot_is_used(
    opened: AsyncExitStack,
) -> None:
    settings, node = await a_server(opened)
    cache = await opened.enter_async_context(a_client(settings))
    key, leased, user, mary = fresh("name:a"), fresh("name:b"), fresh("bob"), fresh("mary")
    await filled(cache, key, b"old")
    await filled_list(cache, user, [b"1"])
    (lease,) = await cache.look_up([leased])
    feed_lease = await cache.feed(mary)
    assert isinstance(lease, Lease)
    assert isinstance(feed_lease, Lease)
    await command(settings, "SAVE")
    await cache.forget([key, leased, f"feed:user:{user}", f"feed:user:{mary}"])

    await killed(node)
    await started(node)
    assert await command(settings, "EXISTS", key, leased) == 2, "the snapshot was loaded"

    await answering(cache)
    # Given before the writes that the snapshot doesn't know.
    await cache.fill([(lease, b"old")])
    await cache.fill_feed(feed_lease, [b"1"], end=b"")
    await until_void(cache, key, user)
    await until_void(cache, leased, mary)


async def test_a_paused_cache_holds_a_read_no_longer_than_the_timeout(
    opened: AsyncExitStack,
) -> None:
    settings, node = await a_server(opened)
    cache = await opened.enter_async_context(a_client(settings))
    key, user = fresh("name:a"), fresh("bob")
    await filled(cache, key, b"old")
    await filled_list(cache, user, [b"1"])
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGSTOP)
    try:

        async def reads() -> None:
            assert await asyncio.gather(*(cache.look_up([key]) for _ in range(20))) == [[None]] * 20

        assert await seconds(reads) < TIMEOUT_S + MARGIN_S
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert await seconds(lambda: cache.feed(user)) < 0.05
            await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await cache.forget([key, f"feed:user:{user}"])
    finally:
        os.kill(node.process.pid, signal.SIGCONT)

    await answering(cache)
    await cache.forget([key, f"feed:user:{user}"])
    await until_void(cache, key, user)


async def test_a_full_cache_evicts_and_every_value_found_is_right(
    opened: AsyncExitStack,
) -> None:
    settings, _ = await a_server(opened, "--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru")
    cache = await opened.enter_async_context(a_client(settings))
    keys = [f"post:{number}" for number in range(3000)]
    for start in range(0, len(keys), 100):
        found = await cache.look_up(keys[start : start + 100])
        leases = [lease for lease in found if isinstance(lease, Lease)]
        await cache.fill([(lease, lease.key.encode() * 200) for lease in leases])
        await cache.push([b"1"], [fresh("bob")])
    found = await cache.look_up(keys)
    hits = [
        (key, value) for key, value in zip(keys, found, strict=True) if isinstance(value, bytes)
    ]
    assert 0 < len(hits) < len(keys)
    assert all(value == key.encode() * 200 for key, value in hits)


async def test_a_full_cache_that_evicts_nothing_refuses_fills_and_tells_writers(
    opened: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    settings, _ = await a_server(opened, "--maxmemory-policy", "noeviction")
    cache = await opened.enter_async_context(a_client(settings))
    key, user = fresh("name:a"), fresh("bob")
    await filled(cache, key, b"x")
    (lease,) = await cache.look_up([fresh("name:b")])
    assert isinstance(lease, Lease)
    await command(settings, "CONFIG", "SET", "maxmemory", 1)

    await cache.fill([(lease, b"y")])
    assert await cache.look_up([fresh("name:c"), key]) == [None, b"x"], (
        "no lease, but what is there"
    )
    assert await cache.feed(user) is None
    with pytest.raises(Unavailable, match="OOM"):
        await cache.push([b"1"], [user])
    await cache.forget([key])
    assert [record.message for record in caplog.records if "OOM" in record.message] != []
    said = len(caplog.records)
    await cache.fill([(lease, b"y")])
    await cache.look_up([fresh("name:d")])
    assert len(caplog.records) == said, "once is enough"

    await command(settings, "CONFIG", "SET", "maxmemory", 0)
    await filled(cache, key, b"y")


async def test_a_replica_that_lacks_the_last_writes_is_as_good_as_empty(
    opened: AsyncExitStack,
) -> None:
    first, first_node = await a_server(opened)
    second, second_node = await a_server(opened)
    address = await opened.enter_async_context(SwitchedAddress(first_node.port))
    cache = await opened.enter_async_context(
        a_client(SETTINGS.model_copy(update={"cache": f"redis://127.0.0.1:{address.port}"}))
    )
    await replicate(second, of=first_node)
    key, user = fresh("name:a"), fresh("bob")
    await until_usable(cache)
    await filled(cache, key, b"old")
    await filled_list(cache, user, [b"1"])
    assert await command(first, "WAIT", 1, 5000) == 1

    await command(second, "REPLICAOF", "NO", "ONE")
    await cache.forget([key, f"feed:user:{user}"])
    await killed(first_node)
    address.switch(second_node.port)
    assert await command(second, "EXISTS", key) == 1, "the new master has the old value"

    await answering(cache)
    await until_void(cache, key, user)


async def test_a_master_that_was_a_replica_meanwhile_is_another_one(
    opened: AsyncExitStack,
) -> None:
    """Its process is the same, and the client's connection may be; what it holds came from elsewhere."""
    first, first_node = await a_server(opened)
    second, second_node = await a_server(opened)
    cache = await opened.enter_async_context(a_client(first))
    await replicate(second, of=first_node)
    key, user = fresh("name:a"), fresh("bob")
    await until_usable(cache)
    await filled(cache, key, b"old")
    await filled_list(cache, user, [b"1"])
    assert await command(first, "WAIT", 1, 5000) == 1
    await command(second, "REPLICAOF", "NO", "ONE")
    await cache.forget([key, f"feed:user:{user}"])

    await replicate(first, of=second_node)
    await eventually(
        lambda: gives_nothing(cache, fresh("name:c")), within_s=30, what="the replica is not used"
    )
    with pytest.raises(Unavailable):
        await cache.forget([key])
    await command(first, "REPLICAOF", "NO", "ONE")
    assert await command(first, "EXISTS", key) == 1

    await answering(cache)
    await until_void(cache, key, user)


async def gives_nothing(cache: SharedCache, key: str) -> bool:
    return await cache.look_up([key]) == [None]


async def until_usable(cache: SharedCache) -> None:
    """A master's first replica changes its replication id: wait until the client knows the new one."""
    await asyncio.sleep(1.1)
    await answering(cache)


async def replicate(replica: Settings, *, of: RedisFromPath) -> None:
    await command(replica, "REPLICAOF", "127.0.0.1", of.port)

    async def in_step() -> bool:
        return b"master_link_status:up" in await command(replica, "INFO", "replication")

    await eventually(in_step, within_s=30, what="the replica is in step")
