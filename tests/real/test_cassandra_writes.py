from __future__ import annotations

import asyncio
import gc

import pytest
from cassandra.cluster import ResponseFuture

from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import SystemClock
from fanfold.core.ports import Plan, Pointer, User
from fanfold.core.settings import MS_PER_DAY
from tests.support.clock import START_MS, ManualClock
from tests.support.engines import RealEngines
from tests.support.eventually import eventually
from tests.support.stores import (
    a_post_id,
    an_edge,
    fresh,
    migrated,
    stores_in_cassandra,
    write_edges,
)

pytestmark = pytest.mark.real


async def test_a_pointer_expires_a_day_after_the_retention_window(engines: RealEngines) -> None:
    settings = await migrated(engines)
    alice, taylor = fresh("alice"), fresh("taylor")
    almost_over_ms = START_MS - settings.retention_ms - MS_PER_DAY + 1000
    pointer = Pointer(a_post_id(almost_over_ms), taylor)
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        assert await stores.timelines.push([pointer], [alice]) == 1
        await stores.timelines.add_pulled(pointer)

        async def expired() -> bool:
            return not await stores.timelines.timeline(
                alice, before=None, since_ms=0, limit=1
            ) and not await stores.timelines.pulled(taylor, before=None, since_ms=0, limit=1)

        await eventually(expired, within_s=30, what="the second that was left is over")


async def test_a_post_from_a_clock_that_was_decades_ahead_stops_no_worker(
    engines: RealEngines,
) -> None:
    """Cassandra refuses a TTL of over 20 years, and a write that is always refused would never be acknowledged."""
    settings = await migrated(engines)
    alice, taylor = fresh("alice"), fresh("taylor")
    ahead_ms = START_MS + 30 * 365 * MS_PER_DAY
    pointer, later = Pointer(a_post_id(ahead_ms), taylor), a_post_id(ahead_ms + 1000)
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        assert await stores.timelines.push([pointer], [alice]) == 1
        await stores.timelines.add_pulled(pointer)
        found = await stores.timelines.pulled(taylor, before=later, since_ms=ahead_ms, limit=1)
        assert found == [pointer.post_id]


async def test_twenty_thousand_timelines_get_a_post_with_the_longest_of_ids(
    engines: RealEngines,
) -> None:
    settings = (await migrated(engines)).model_copy(update={"write_batch_rows": 500})
    readers = [fresh("r").ljust(64, "x") for _ in range(20_000)]
    pointer = Pointer(a_post_id(), "a" * 64)
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        assert await stores.timelines.push([pointer], readers) == 20_000
        for reader in readers[::2000]:
            found = await stores.timelines.timeline(reader, before=None, since_ms=0, limit=2)
            assert [(entry.post_id, entry.author_id) for entry in found] == [pointer]


async def test_a_full_batch_of_rows_with_many_small_cells_is_not_too_large(
    engines: RealEngines,
) -> None:
    """Cassandra refuses 50 KiB, and counts about 20 bytes for each cell, whatever is in it."""
    settings = (await migrated(engines)).model_copy(update={"write_batch_rows": 500})
    users = [User(f"{number:03x}", follower_count=number) for number in range(1000)]
    plans = {a_post_id(): Plan("push", number, 0, 1, 1, number) for number in range(1000)}
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        await asyncio.gather(*(stores.users.write_follower_count(user, offset=1) for user in users))
        await asyncio.gather(
            *(stores.jobs.write_plan(post_id, plan, offset=1) for post_id, plan in plans.items())
        )
        found = await stores.users.get_many([user.user_id for user in users])
        assert [user.follower_count for user in found.values()] == list(range(1000))
        assert {post_id: await stores.jobs.plan(post_id) for post_id in plans} == plans


async def test_a_bucket_larger_than_a_page_is_read_whole(engines: RealEngines) -> None:
    settings = await migrated(engines)
    bob = fresh("bob")
    edges = [an_edge(f"f{number:05}", offset=number) for number in range(12_000)]
    async with stores_in_cassandra(settings, clock=SystemClock()) as stores:
        await write_edges(stores, bob, edges)
        assert await stores.follows.followers(bob, FollowerBucket(0, 0)) == edges


async def test_answered_statements_are_released(engines: RealEngines) -> None:
    """Not when its timeout would have passed, nor when the garbage collector comes: memory would grow with speed."""
    settings = await migrated(engines)
    bob, readers = fresh("bob"), [fresh("r") for _ in range(300)]
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        edges = [an_edge(reader, offset=1) for reader in readers]
        gc.disable()
        try:
            before = statements_held()
            await write_edges(stores, bob, edges)
            for _ in range(20):
                audience = await stores.follows.audience(bob, FollowerBucket(0, 0))
                await stores.timelines.push([Pointer(a_post_id(), bob)], audience.awake_ids)
            everyone = [user_id async for user_id in stores.follows.all_follower_ids()]
            kept = statements_held() - before
        finally:
            gc.enable()
        assert len(everyone) >= 300
        assert kept < 20  # of over sixty; the driver itself asks something now and then


def statements_held() -> int:
    # `type`, because `isinstance` asks a weak proxy for what is gone.
    return sum(issubclass(type(held), ResponseFuture) for held in gc.get_objects())
