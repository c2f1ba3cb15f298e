"""What only a cluster of cache servers does: slots that move, and keys of others where a list should be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from fanfold.adapters.redis.address import Address, CacheUrl
from fanfold.adapters.redis.link import Link, checked
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.adapters.redis.slots import slot_of, view_of
from fanfold.core.cache_keys import feed_key
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import Lease, SharedCache
from fanfold.core.settings import Settings
from tests.support.shared_caches import Epoch, plain_link_to
from tests.support.stores import fresh

pytestmark = pytest.mark.real


@asynccontextmanager
async def a_client(url: str) -> AsyncIterator[SharedCache]:
    settings = Settings(cache=url, cache_timeout_s=2)
    async with redis_shared_cache(
        settings, clock=SystemClock(), epoch=Epoch(), settles_s=0
    ) as cache:
        await cache.ping()
        yield cache


@asynccontextmanager
async def owner_and_another(url: str, key: str) -> AsyncIterator[tuple[Link, Link]]:
    """A connection to the server that has the key's slot, and one to a server that has not."""
    addresses = CacheUrl.of(Settings(cache=url)).addresses
    async with AsyncExitStack() as stack:
        links = {a: await stack.enter_async_context(plain_link_to(a)) for a in addresses}
        nodes = await said(links[addresses[0]], "CLUSTER", "NODES")
        assert isinstance(nodes, bytes)
        owner = owner_of(slot_of(key), nodes, asked=addresses[0])
        another = next(address for address in addresses if address != owner)
        yield links[owner], links[another]


def owner_of(slot: int, nodes: bytes, *, asked: Address) -> Address:
    claims = view_of(nodes, asked=asked)
    return next(claim.address for claim in claims if claim.first <= slot <= claim.last)


async def said(link: Link, *command: str | int | bytes) -> object:
    (answer,) = checked(await link.ask(command))
    return answer


async def leased(cache: SharedCache, key: str) -> Lease:
    (found,) = await cache.look_up([key])
    assert isinstance(found, Lease)
    return found


async def test_a_slot_that_moves_is_not_told_and_one_that_has_moved_is_found(
    cluster_url: str,
) -> None:
    key = fresh("name:key")
    slot = slot_of(key)
    async with (
        a_client(cluster_url) as worker,
        a_client(cluster_url) as reader,
        owner_and_another(cluster_url, key) as (source, target),
    ):
        await reader.fill([(await leased(reader, key), b"old")])
        ids = [(await said(link, "CLUSTER", "MYID")) for link in (source, target)]
        assert isinstance(ids[0], bytes)
        assert isinstance(ids[1], bytes)
        await said(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        await said(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        await worker.forget([key])
        # The key may be at either of the two now.
        with pytest.raises(Unavailable, match="ASK"):
            await worker.forget([key])
        assert await reader.look_up([key]) == [None]
        for link in (target, source):
            await said(link, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        await worker.forget([key])
        async with a_client(cluster_url) as other:
            await other.fill([(await leased(other, key), b"new")])
            assert await other.look_up([key]) == [b"new"]
        assert await said(target, "EXISTS", key) == 1


async def test_a_key_that_holds_something_else_is_forgotten_by_a_delivery(cluster_url: str) -> None:
    users = [fresh("bob") for _ in range(6)]
    async with (
        a_client(cluster_url) as cache,
        owner_and_another(cluster_url, feed_key(users[0])) as (owner, _),
    ):
        await said(owner, "SET", feed_key(users[0]), "somebody else's")
        lease = await cache.feed(users[1])
        assert isinstance(lease, Lease)
        await cache.fill_feed(lease, [b"1"], end=b"1")
        await cache.push([b"2"], users)
        assert await said(owner, "EXISTS", feed_key(users[0])) == 0
        found = await cache.feed(users[1])
        assert not isinstance(found, Lease)
        assert found is not None
        assert found.entries == (b"2", b"1")


async def test_a_value_that_is_somebody_elses_is_no_value(cluster_url: str) -> None:
    keys = [fresh("name:a") for _ in range(4)]
    async with (
        a_client(cluster_url) as cache,
        owner_and_another(cluster_url, keys[0]) as (owner, _),
    ):
        await said(owner, "LPUSH", keys[0], "somebody else's")
        leases = await cache.look_up(keys)
        assert all(isinstance(lease, Lease) for lease in leases)
        await cache.fill([(lease, b"x") for lease in leases if isinstance(lease, Lease)])
        assert await cache.look_up(keys) == [b"x"] * 4


async def test_what_all_servers_dropped_counts_once(cluster_url: str) -> None:
    settings, epoch = Settings(cache=cluster_url, cache_timeout_s=2), Epoch()
    keys = [fresh("name:a") for _ in range(30)]
    async with redis_shared_cache(settings, clock=SystemClock(), epoch=epoch, settles_s=0) as cache:
        await cache.ping()
        await cache.look_up(keys)
        before = dropped()
        epoch.known = b"another"
        await cache.look_up(keys)
        assert dropped() - before == pytest.approx(1)


def dropped() -> float:
    return REGISTRY.get_sample_value("fanfold_shared_cache_epochs_total") or 0.0
