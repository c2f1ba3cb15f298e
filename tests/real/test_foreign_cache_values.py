"""The shared cache's keys with values that Fanfold never wrote, and a server that refuses to forget."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from fanfold.adapters.redis.link import checked
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.core.cache_keys import feed_key, name_key
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from fanfold.core.settings import Settings
from tests.support.shared_caches import Epoch, a_redis_of_its_own, answering, plain_link
from tests.support.stores import fresh

pytestmark = pytest.mark.real

FOREIGN = [
    ("SET", "x"),
    ("RPUSH", "x"),
    ("RPUSH", *"xyz" * 1000),
    ("SADD", "x"),
    ("HSET", "x", "y"),
]


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def a_client(opened: AsyncExitStack, settings: Settings) -> SharedCache:
    cache = await opened.enter_async_context(
        redis_shared_cache(settings, clock=SystemClock(), epoch=Epoch())
    )
    await answering(cache)
    return cache


async def put(settings: Settings, command: str, key: str, *words: str) -> Any:
    async with plain_link(settings) as link:
        checked(await link.ask((command, key, *words)))


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(cache=redis_url, cache_timeout_s=2)


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_foreign_value_is_replaced(
    settings: Settings, opened: AsyncExitStack, foreign: tuple[str, ...]
) -> None:
    cache = await a_client(opened, settings)
    key, other = name_key(fresh("alice")), name_key(fresh("bob"))
    await put(settings, foreign[0], key, *foreign[1:])
    leases = [lease for lease in await cache.look_up([key, other]) if isinstance(lease, Lease)]
    assert [lease.key for lease in leases] == [key, other]
    await cache.fill([(lease, b"new") for lease in leases])
    assert await cache.look_up([key, other]) == [b"new", b"new"]


async def test_a_lease_that_was_overwritten_fills_nothing(
    settings: Settings, opened: AsyncExitStack
) -> None:
    cache = await a_client(opened, settings)
    keys = [name_key(fresh("alice")), name_key(fresh("bob"))]
    leases = [lease for lease in await cache.look_up(keys) if isinstance(lease, Lease)]
    async with plain_link(settings) as link:
        checked(await link.ask(("DEL", keys[0]), ("RPUSH", keys[0], "x")))
    await cache.fill([(lease, b"new") for lease in leases])
    assert (await cache.look_up(keys))[1] == b"new"


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_foreign_value_has_no_mark_and_hides_no_other_s(
    settings: Settings, opened: AsyncExitStack, foreign: tuple[str, ...]
) -> None:
    cache = await a_client(opened, settings)
    key, user = name_key(fresh("alice")), fresh("alice")
    for foreign_key in (key, feed_key(user)):
        await put(settings, foreign[0], foreign_key, *foreign[1:])
    (lease,) = await cache.look_up([name_key(fresh("bob"))])
    assert isinstance(lease, Lease)
    await cache.fill([(lease, b"Bob")])
    marks = await cache.marks([key, feed_key(user), lease.key])
    assert marks is not None
    assert [bool(mark) for mark in marks] == [False, False, True]


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_foreign_list_is_replaced(
    settings: Settings, opened: AsyncExitStack, foreign: tuple[str, ...]
) -> None:
    cache = await a_client(opened, settings)
    user = fresh("alice")
    await put(settings, foreign[0], feed_key(user), *foreign[1:])
    lease = await cache.feed(user)
    assert isinstance(lease, Lease)
    await cache.fill_feed(lease, [b"9"], end=b"9")
    found = await cache.feed(user)
    assert isinstance(found, FeedList)
    assert (found.entries, found.end) == ((b"9",), b"9")
    await put(settings, "SET", feed_key(user), "x")
    await cache.extend_feed(user, found, [b"8"], end=b"8")
    assert isinstance(await cache.feed(user), Lease)


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_delivery_to_a_foreign_value_is_no_outage(
    settings: Settings, opened: AsyncExitStack, foreign: tuple[str, ...]
) -> None:
    """Otherwise one key of somebody else's would make all readers pass the cache by."""
    cache = await a_client(opened, settings)
    alice, bob = fresh("alice"), fresh("bob")
    await put(settings, foreign[0], feed_key(alice), *foreign[1:])
    lease = await cache.feed(bob)
    assert isinstance(lease, Lease)
    await cache.fill_feed(lease, [], end=b"")
    await cache.push([b"9"], [alice, bob])
    assert isinstance(await cache.feed(alice), Lease)
    found = await cache.feed(bob)
    assert isinstance(found, FeedList)
    assert found.entries == (b"9",)


async def test_a_process_that_could_not_forget_finds_nothing_for_a_moment(
    opened: AsyncExitStack,
) -> None:
    """A request that must see a write forgets what is old. A server may refuse that, and answer reads on."""
    settings, _ = await opened.enter_async_context(
        a_redis_of_its_own(Settings(cache_timeout_s=2), "--rename-command", "UNLINK", "REFUSED")
    )
    cache, other = await a_client(opened, settings), await a_client(opened, settings)
    key, user = name_key(fresh("alice")), fresh("alice")
    (lease,) = await cache.look_up([key])
    feed_lease = await cache.feed(user)
    assert isinstance(lease, Lease)
    assert isinstance(feed_lease, Lease)
    await cache.fill([(lease, b"old")])
    await cache.fill_feed(feed_lease, [b"9"], end=b"9")
    with pytest.raises(Unavailable):
        await cache.forget([key])
    assert await cache.look_up([key]) == [None]
    assert await cache.feed(user) is None
    assert await other.look_up([key]) == [b"old"]
