"""When users last read, who sleeps, and which followers a delivery leaves out because they do."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.buckets import FollowerBucket, follower_bucket
from fanfold.core.ports import Audience, Stores, User
from fanfold.core.ports.sweeps import SweepCheckpoint
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import (
    an_edge,
    fresh,
    shuffled_with_repetitions,
    stores_of_each_adapter,
    write_edges,
)

stores = stores_of_each_adapter()
ONLY_BUCKET = FollowerBucket(0, 0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# --- reads ---------------------------------------------------------------------------------------------


async def test_a_user_who_never_read_a_feed_is_absent(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await stores.activity.note_reads({alice: START_MS})
    assert dict(await stores.activity.last_reads([alice, bob, alice])) == {alice: START_MS}
    assert dict(await stores.activity.last_reads([])) == {}


@examples_in_one_store
@given(reads=st.lists(st.integers(0, 10**9), min_size=1, max_size=6), seed=st.integers())
async def test_the_latest_read_stays_in_whatever_order_processes_note_them(
    stores: Stores, reads: list[int], seed: int
) -> None:
    alice = fresh("alice")
    for ago_ms in shuffled_with_repetitions(reads, seed):
        await stores.activity.note_reads({alice: START_MS - ago_ms})
    assert dict(await stores.activity.last_reads([alice])) == {alice: START_MS - min(reads)}


# --- sleep ---------------------------------------------------------------------------------------------


async def test_a_user_sleeps_until_an_awakening_has_ended(stores: Stores) -> None:
    alice = fresh("alice")
    await stores.users.set_asleep(alice, asleep=True, offset=3)
    await stores.users.begin_waking(alice, offset=7)
    assert await stores.users.get_many([alice]) == {
        alice: User(alice, asleep=True, asleep_offset=3, woke_offset=7)
    }
    await stores.users.set_asleep(alice, asleep=False, offset=7)
    assert await stores.users.get_many([alice]) == {
        alice: User(alice, asleep=False, asleep_offset=7, woke_offset=7)
    }


@examples_in_one_store
@given(asleep=st.lists(st.booleans(), min_size=1, max_size=6), seed=st.integers())
async def test_a_user_sleeps_or_not_by_the_last_offset_and_an_edge_is_marked_by_it(
    stores: Stores, asleep: list[bool], seed: int
) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores
    await write_edges(graph, bob, [an_edge(alice, offset=9)])
    writes = [
        partial(stores.users.set_asleep, alice, asleep=on, offset=at)
        for at, on in enumerate(asleep)
    ]
    writes += [
        partial(stores.follows.mark_asleep, alice, [(bob, 0)], asleep=on, offset=at)
        for at, on in enumerate(asleep)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    [user] = (await stores.users.get_many([alice])).values()
    assert (user.asleep, user.asleep_offset) == (asleep[-1], len(asleep) - 1)
    expected = Audience([], 1) if asleep[-1] else Audience([alice], 0)
    assert await stores.follows.audience(bob, ONLY_BUCKET) == expected


async def test_sleep_leaves_name_standing_and_edge_alone_and_they_leave_it(stores: Stores) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores
    edge = an_edge(alice, offset=4)
    await write_edges(graph, bob, [edge])
    await stores.follows.mark_asleep(alice, [(bob, 0)], asleep=True, offset=900)
    assert await stores.follows.followers(bob, ONLY_BUCKET) == [edge]
    # Another topic's offsets: the edge's are lower, and still its own.
    again = an_edge(alice, offset=5, active=False, follow_offset=4)
    await write_edges(graph, bob, [again])
    assert await stores.follows.followers(bob, ONLY_BUCKET) == [again]
    await write_edges(graph, bob, [an_edge(alice, offset=6)])
    assert await stores.follows.audience(bob, ONLY_BUCKET) == ([], 1), (
        "a new follow is still marked"
    )

    await stores.users.set_asleep(bob, asleep=True, offset=900)
    await stores.users.register(bob, "Bob", registered_at_ms=START_MS, offset=1)
    await stores.users.write_follower_count(User(bob, follower_count=1), offset=2)
    assert await stores.users.get_many([bob]) == {
        bob: User(
            bob,
            display_name="Bob",
            name_offset=1,
            registered_at_ms=START_MS,
            follower_count=1,
            count_offset=2,
            asleep=True,
            asleep_offset=900,
        )
    }


async def test_a_mark_without_an_edge_is_no_edge_and_takes_no_place_on_a_page(
    stores: Stores,
) -> None:
    bob, graph = fresh("bob"), stores
    names = sorted(fresh("f") for _ in range(6))
    edges = [an_edge(name, offset=at) for at, name in enumerate(names) if at % 2]
    await write_edges(graph, bob, edges)
    for name in names:
        await stores.follows.mark_asleep(name, [(bob, 0)], asleep=True, offset=1)
    assert await stores.follows.followers(bob, ONLY_BUCKET) == edges
    assert await stores.follows.followers(bob, ONLY_BUCKET, limit=2) == edges[:2]
    assert (
        await stores.follows.followers(bob, ONLY_BUCKET, after=edges[1].follower_id, limit=2)
        == edges[2:]
    )
    assert list(await stores.follows.follower_edges([bob], 0, names)) == [
        (bob, edge.follower_id) for edge in edges
    ]
    assert await stores.follows.audience(bob, ONLY_BUCKET) == ([], 3)


async def test_every_generation_can_be_marked_at_once(stores: Stores) -> None:
    alice, bob, carl, graph = fresh("alice"), fresh("bob"), fresh("carl"), stores
    await write_edges(graph, bob, [an_edge(alice, offset=1, generation=1)])
    await write_edges(graph, carl, [an_edge(alice, offset=1)])
    everywhere = [(bob, 0), (bob, 1), (carl, 0)]
    await stores.follows.mark_asleep(alice, everywhere, asleep=True, offset=1)
    bucket = FollowerBucket(1, follower_bucket(alice, 1))
    assert await stores.follows.audience(bob, bucket) == ([], 1)
    assert await stores.follows.audience(bob, ONLY_BUCKET) == ([], 0)
    assert await stores.follows.audience(carl, ONLY_BUCKET) == ([], 1)
    await stores.follows.mark_asleep(alice, [], asleep=True, offset=2)


async def test_every_follower_is_walked_once_asleep_or_awake(stores: Stores) -> None:
    bob, followers = fresh("bob"), [fresh("f") for _ in range(120)]
    edges = [
        an_edge(follower, offset=offset, active=offset % 2 > 0)
        for offset, follower in enumerate(followers)
    ]
    await write_edges(stores, bob, edges)
    await stores.users.set_asleep(followers[0], asleep=True, offset=0)
    found = [user_id async for user_id in stores.follows.all_follower_ids()]
    assert sorted(user_id for user_id in found if user_id in set(followers)) == sorted(followers)
    assert len(found) == len(set(found))


async def test_the_walk_goes_on_behind_any_follower(stores: Stores) -> None:
    await write_edges(stores, fresh("bob"), [an_edge(fresh("f"), offset=n) for n in range(20)])
    found = [user_id async for user_id in stores.follows.all_follower_ids()]
    for number in (0, len(found) // 2, len(found) - 1):
        rest = [user_id async for user_id in stores.follows.all_follower_ids(after=found[number])]
        assert rest == found[number + 1 :]


async def test_the_last_checkpoint_of_a_sweep_is_remembered(stores: Stores) -> None:
    sweeps = stores.sweeps
    far_ms = START_MS + 10**9
    begun = SweepCheckpoint("bob", 100, 7, far_ms)
    ended = SweepCheckpoint(None, 0, 200, far_ms + 2)
    for checkpoint in (begun, ended, SweepCheckpoint("late", 1, 1, far_ms + 1)):
        await sweeps.write(checkpoint)
    assert await sweeps.checkpoint() == ended
