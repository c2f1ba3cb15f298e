from __future__ import annotations

from dataclasses import replace

import pytest

from fanfold.core.buckets import FollowerBucket
from fanfold.core.ids import new_post_id
from fanfold.core.ports import Plan, SliceDone, Stores
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import a_post_id, stores_of_each_adapter

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def a_plan(*, planned: int = 5000, generation: int | None = 1, slices: int = 17) -> Plan:
    return Plan(
        strategy="pull" if generation is None else "push",
        planned=planned,
        generation=generation,
        slices_total=slices,
        started_at_ms=START_MS,
    )


async def test_a_plan_is_read_as_it_was_written(stores: Stores) -> None:
    pushed, pulled = a_post_id(), a_post_id()
    plans = {pushed: a_plan(), pulled: a_plan(planned=0, generation=None, slices=0)}
    for post_id, plan in plans.items():
        await stores.jobs.write_plan(post_id, plan, offset=0)
    assert {post_id: await stores.jobs.plan(post_id) for post_id in plans} == plans


async def test_a_post_without_a_plan_has_none_and_no_finished_slices(stores: Stores) -> None:
    post_id = a_post_id()
    assert await stores.jobs.plan(post_id) is None
    assert await stores.jobs.slices_done(post_id) == {}


async def test_an_older_plan_never_wins(stores: Stores) -> None:
    post_id = a_post_id()
    await stores.jobs.write_plan(post_id, a_plan(planned=7), offset=5)
    await stores.jobs.write_plan(post_id, a_plan(planned=9, generation=None), offset=4)
    assert await stores.jobs.plan(post_id) == a_plan(planned=7)


async def test_each_finished_slice_is_kept_once(stores: Stores) -> None:
    post_id = a_post_id()
    done = {
        FollowerBucket(0, 0): SliceDone(4096, START_MS + 5),
        FollowerBucket(1, 0): SliceDone(0, START_MS + 6),
        FollowerBucket(1, 15): SliceDone(300, START_MS + 7),
    }
    for _ in range(2):
        for bucket, slice_done in done.items():
            await stores.jobs.finish_slice(post_id, bucket, slice_done, offset=9)
    await stores.jobs.finish_slice(post_id, FollowerBucket(0, 0), SliceDone(9999, 1), offset=8)
    assert await stores.jobs.slices_done(post_id) == done
    assert await stores.jobs.slices_done(a_post_id()) == {}


async def test_a_plan_keeps_the_events_by_which_its_post_is_counted(stores: Stores) -> None:
    post_id = a_post_id()
    counted = replace(a_plan(), counted_offset=0)
    await stores.jobs.write_plan(post_id, counted, offset=0)
    assert await stores.jobs.plan(post_id) == counted
    for offset in (8, 7):  # the older one is late
        await stores.jobs.uncount(post_id, offset=offset)
    assert await stores.jobs.plan(post_id) == replace(counted, uncounted_offset=8)
    await stores.jobs.write_plan(post_id, replace(counted, uncounted_offset=None), offset=0)
    assert await stores.jobs.plan(post_id) == replace(counted, uncounted_offset=8)


async def test_finished_slices_expire_with_the_pointers_of_their_post_and_plans_do_not(
    stores: Stores, clock: ManualClock
) -> None:
    kept_ms = Settings().keep_ms
    old = new_post_id(clock.now_ms() - kept_ms)
    young = new_post_id(clock.now_ms() - kept_ms + 60_000)
    for post_id in (old, young):
        await stores.jobs.write_plan(post_id, a_plan(), offset=3)
        await stores.jobs.finish_slice(post_id, FollowerBucket(1, 2), SliceDone(1, 2), offset=4)
    assert await stores.jobs.slices_done(old) == {}
    assert await stores.jobs.slices_done(young) == {FollowerBucket(1, 2): SliceDone(1, 2)}
    assert await stores.jobs.plan(old) == await stores.jobs.plan(young) == a_plan()
