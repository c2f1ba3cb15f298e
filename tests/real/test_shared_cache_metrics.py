"""What the shared cache's metrics count."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from fanfold.adapters.redis.link import checked
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import Lease
from fanfold.core.settings import Settings
from tests.support.eventually import eventually
from tests.support.shared_caches import (
    Epoch,
    a_redis_of_its_own,
    plain_link,
    server_in_redis,
)
from tests.support.stores import fresh

pytestmark = pytest.mark.real

SETTINGS = Settings(cache_timeout_s=2)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"fanfold_shared_cache_{name}_total", labels) or 0.0


async def test_keys_are_counted_by_kind_and_result(redis_url: str) -> None:
    kinds = [f"kind{number}" for number in range(2)]
    one, two, three = fresh(f"{kinds[0]}:a"), fresh(f"{kinds[0]}:b:c"), fresh(f"{kinds[1]}:a")
    async with server_in_redis(SETTINGS, url=redis_url) as server:
        cache = await server.client(Epoch())
        leases = await cache.look_up([one, two, three])
        await cache.fill([(lease, b"") for lease in leases[:1] if isinstance(lease, Lease)])
        await cache.look_up([one, two, three])
        feeds = counted("lookups", kind="feed", result="miss")
        await cache.feed(fresh("bob"))
        assert counted("lookups", kind="feed", result="miss") == feeds + 1
    results = ("hit", "miss", "refused")
    assert [counted("lookups", kind=kinds[0], result=result) for result in results] == [1, 2, 1]
    assert [counted("lookups", kind=kinds[1], result=result) for result in results] == [0, 1, 1]


async def test_refused_fills_are_counted_by_kind(redis_url: str) -> None:
    kept, forgotten, user = fresh("filled:a"), fresh("filled:b"), fresh("bob")
    feeds = counted("fills_refused", kind="feed")
    async with server_in_redis(SETTINGS, url=redis_url) as server:
        cache = await server.client(Epoch())
        leases = await cache.look_up([kept, forgotten])
        feed_lease = await cache.feed(user)
        await cache.forget([forgotten, f"feed:user:{user}"])
        await cache.fill([(lease, b"") for lease in leases if isinstance(lease, Lease)])
        assert isinstance(feed_lease, Lease)
        await cache.fill_feed(feed_lease, [], end=b"")
    assert counted("fills_refused", kind="filled") == 1
    assert counted("fills_refused", kind="feed") == feeds + 1


async def test_failures_are_counted_by_call_and_cause() -> None:
    before = [failures("push", cause) for cause in ("out_of_memory", "unavailable")]
    async with a_redis_of_its_own(SETTINGS) as (settings, node):
        async with plain_link(settings) as link:
            checked(await link.ask(("CONFIG", "SET", "maxmemory", 1)))
        async with server_in_redis(SETTINGS, url=settings.cache) as server:
            cache = await server.client(Epoch())
            await cache.look_up([fresh("name:a")])
            with pytest.raises(Unavailable):
                await cache.push([b"1"], [fresh("bob")])
            await asyncio.to_thread(node.kill)
            with pytest.raises(Unavailable):
                await cache.push([b"1"], [fresh("bob")])
    after = [failures("push", cause) for cause in ("out_of_memory", "unavailable")]
    assert after == [count + 1 for count in before]
    assert failures("look_up", "out_of_memory") >= 1


def failures(call: str, cause: str) -> float:
    return counted("failures", call=call, cause=cause)


async def test_time_off_is_counted_by_cause_and_each_new_epoch_once() -> None:
    async with (
        a_redis_of_its_own(SETTINGS) as (settings, node),
        server_in_redis(SETTINGS, url=settings.cache) as server,
    ):
        epoch = Epoch()
        cache = await server.client(epoch)
        key = fresh("name:a")
        await cache.look_up([key])
        epochs = counted("epochs")
        epoch.known = None
        await off_longer("outage")
        epoch.known = b"second"
        await cache.look_up([key])
        await cache.look_up([key])
        assert counted("epochs") == epochs + 1

        await asyncio.to_thread(node.kill)
        await off_longer("away")


async def off_longer(cause: str) -> None:
    before = counted("off_seconds", cause=cause)

    async def longer() -> bool:
        return counted("off_seconds", cause=cause) > before + 0.5

    await eventually(longer, within_s=30, what=f"time off because of {cause}")
