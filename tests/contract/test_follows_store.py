"""Edges of the follow graph in both adapters."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.buckets import FollowerBucket, buckets_up_to, follower_bucket
from fanfold.core.ports import Follow, FollowerEdge, Stores
from tests.support.clock import ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import (
    all_pages,
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


@examples_in_one_store
@given(
    active=st.lists(st.booleans(), min_size=1, max_size=6),
    marked=st.integers(0, 5),
    seed=st.integers(),
)
async def test_an_edge_is_the_same_whatever_the_order_and_number_of_writes(
    stores: Stores, active: list[bool], marked: int, seed: int
) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    edges = [an_edge(alice, offset=offset, active=state) for offset, state in enumerate(active)]
    writes = [partial(write_edges, stores, bob, [edge]) for edge in edges]
    writes.append(partial(stores.follows.mark_materialised, bob, [(alice, marked)]))
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    last = edges[-1]
    assert await stores.follows.followers(bob, ONLY_BUCKET) == [last]
    assert await stores.follows.audience(bob, ONLY_BUCKET) == (
        [last.follower_id] if last.active else [],
        0,
    )
    assert await stores.follows.follower_edges([bob], 0, [alice]) == {(bob, alice): last}
    assert await stores.follows.following(alice) == {
        bob: Follow(
            followee_id=bob,
            active=last.active,
            since_ms=last.since_ms,
            follow_offset=last.follow_offset,
            offset=last.offset,
            materialised=marked == last.follow_offset,
        )
    }


async def test_an_old_backfill_does_not_mark_a_new_follow_as_materialised(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")

    async def materialised() -> bool:
        return (await stores.follows.following(alice))[bob].materialised

    await write_edges(stores, bob, [an_edge(alice, offset=1)])
    assert not await materialised()
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert await materialised()
    await write_edges(stores, bob, [an_edge(alice, offset=2, active=False, follow_offset=1)])
    await write_edges(stores, bob, [an_edge(alice, offset=3)])
    assert not await materialised()
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert not await materialised()
    await stores.follows.mark_materialised(bob, [(alice, 3)])
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert await materialised()


async def test_a_repeated_follow_keeps_its_follow_offset_and_its_mark(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await write_edges(stores, bob, [an_edge(alice, offset=1)])
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    await write_edges(stores, bob, [an_edge(alice, offset=5, follow_offset=1)])
    follow = (await stores.follows.following(alice))[bob]
    assert (follow.follow_offset, follow.offset, follow.materialised) == (1, 5, True)


async def test_a_user_has_followed_also_after_the_follow_has_ended(stores: Stores) -> None:
    alice, bob, carl = fresh("alice"), fresh("bob"), fresh("carl")
    await write_edges(
        stores, carl, [an_edge(alice, offset=1), an_edge(bob, offset=2, active=False)]
    )
    assert [await stores.follows.has_followed(user) for user in (alice, bob)] == [True, True]
    assert not await stores.follows.has_followed(carl), "a follower is no follow"


async def test_follows_are_counted_without_their_rows(stores: Stores) -> None:
    alice, carl = fresh("alice"), fresh("carl")
    assert await stores.follows.following_counts(alice) == (0, 0)
    for number in range(5):
        edge = an_edge(alice, offset=number, active=number != 2)
        await stores.follows.write_following(fresh("followed"), [edge])
    await stores.follows.write_following(alice, [an_edge(carl, offset=0)])
    # A mark of a follow whose edge is not written.
    await stores.follows.mark_materialised(fresh("marked"), [(alice, 9)])
    assert await stores.follows.following_counts(alice) == (4, 5)
    assert await stores.follows.following_counts(carl) == (1, 1)
    assert await stores.follows.following_rows(alice) == 5
    assert await stores.follows.following_rows(fresh("nobody")) == 0


async def test_a_follow_can_be_marked_in_the_write_that_shows_it(stores: Stores) -> None:
    alice, carol, bob = fresh("alice"), fresh("carol"), fresh("bob")
    edges = [an_edge(alice, offset=1), an_edge(carol, offset=2)]
    await stores.follows.write_followers(bob, edges)
    assert set(await stores.follows.follower_edges([bob], 0, [alice, carol])) == {
        (bob, alice),
        (bob, carol),
    }
    assert await stores.follows.following(alice) == {}, "the follower's row is not written yet"

    await stores.follows.write_following(bob, edges, materialised={alice})
    assert (await stores.follows.following(alice))[bob].materialised
    assert not (await stores.follows.following(carol))[bob].materialised

    again = an_edge(alice, offset=5)
    await stores.follows.write_following(bob, [again])
    assert not (await stores.follows.following(alice))[bob].materialised
    await stores.follows.write_following(bob, [again], materialised={alice})
    await stores.follows.write_following(bob, edges, materialised={alice})
    follow = (await stores.follows.following(alice))[bob]
    assert (follow.follow_offset, follow.materialised) == (5, True)


async def test_a_mark_before_its_edge_shows_nothing(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert await stores.follows.following(alice) == {}


async def test_all_follows_are_listed_in_order_of_followee(stores: Stores) -> None:
    alice = fresh("alice")
    followees = [fresh(name) for name in ("zoe", "Bob", "bob", "_x", "0")]
    for offset, followee in enumerate(followees):
        await write_edges(stores, followee, [an_edge(alice, offset=offset, active=offset % 2 == 0)])
    follows = await stores.follows.following(alice)
    assert list(follows) == sorted(followees)
    assert {followee for followee, follow in follows.items() if not follow.active} == {
        followees[1],
        followees[3],
    }


async def test_the_ids_of_all_followees_are_read_whole_or_by_page(stores: Stores) -> None:
    alice = fresh("alice")
    followees = sorted(fresh(name) for name in ("zoe", "Bob", "bob", "_x", "0"))
    for offset, followee in enumerate(followees):
        await write_edges(stores, followee, [an_edge(alice, offset=offset, active=offset % 2 == 0)])
    ids = stores.follows.followee_ids
    assert await ids(alice) == list(await stores.follows.following(alice)) == followees
    assert await ids(alice, limit=2) == followees[:2]
    assert await ids(alice, after=followees[1], limit=2) == followees[2:4]
    assert await ids(alice, after=followees[1]) == followees[2:]
    assert await ids(alice, after=followees[-1], limit=2) == []
    assert await ids(fresh("nobody")) == []


async def test_edges_are_found_in_the_generation_they_were_written_in(stores: Stores) -> None:
    bob, old, new = fresh("bob"), fresh("old"), fresh("new")
    edges = [an_edge(old, offset=1, generation=0), an_edge(new, offset=2, generation=1)]
    await write_edges(stores, bob, edges)
    assert await stores.follows.follower_edges([bob], 0, [old, new]) == {(bob, old): edges[0]}
    assert await stores.follows.follower_edges([bob], 1, [old, new]) == {(bob, new): edges[1]}
    assert await stores.follows.follower_edges([bob], 2, [old, new]) == {}
    assert await stores.follows.follower_edges([bob], 0, []) == {}


async def test_thousands_of_edges_are_each_in_their_bucket_and_on_both_sides(
    stores: Stores,
) -> None:
    bob = fresh("bob")
    followers = [fresh("f") for _ in range(1200)]
    edges = [
        an_edge(follower, offset=offset, generation=1) for offset, follower in enumerate(followers)
    ]
    await write_edges(stores, bob, edges)
    found = []
    for bucket in buckets_up_to(1):
        rows = await stores.follows.followers(bob, bucket)
        assert all(
            (edge.generation, follower_bucket(edge.follower_id, 1)) == bucket for edge in rows
        )
        found += rows
    assert {edge.follower_id: edge for edge in found} == {edge.follower_id: edge for edge in edges}
    assert await stores.follows.follower_edges([bob], 1, followers) == {
        (bob, edge.follower_id): edge for edge in edges
    }
    for follower in followers[::400]:
        assert list(await stores.follows.following(follower)) == [bob]


@examples_in_one_store
@given(count=st.integers(0, 12), limit=st.integers(1, 5))
async def test_pages_of_a_bucket_are_the_whole_bucket(
    stores: Stores, count: int, limit: int
) -> None:
    bob = fresh("bob")
    edges = [an_edge(fresh("f"), offset=offset, active=offset % 3 > 0) for offset in range(count)]
    await write_edges(stores, bob, edges)
    found: list[FollowerEdge] = await all_pages(
        lambda after: stores.follows.followers(bob, ONLY_BUCKET, after=after, limit=limit),
        limit=limit,
        cursor=lambda edge: edge.follower_id,
    )
    assert found == await stores.follows.followers(bob, ONLY_BUCKET)
    assert found == sorted(edges, key=lambda edge: edge.follower_id)


async def test_the_follows_between_a_user_and_some_others_are_read_without_all_the_rest(
    stores: Stores,
) -> None:
    alice, bob, carl, dora = (fresh(name) for name in ("alice", "bob", "carl", "dora"))
    await write_edges(stores, bob, [an_edge(alice, offset=1)])
    await write_edges(stores, carl, [an_edge(alice, offset=2, active=False, follow_offset=1)])
    await write_edges(stores, alice, [an_edge(bob, offset=3)])
    await write_edges(stores, dora, [an_edge(alice, offset=4), an_edge(bob, offset=5)])
    await stores.follows.mark_materialised(fresh("nobody"), [(alice, 6)])  # a mark is no edge
    whole = await stores.follows.following(alice)
    assert await stores.follows.follows_of(alice, [bob, carl, fresh("nobody"), bob]) == {
        user_id: whole[user_id] for user_id in (bob, carl)
    }
    by_bob = (await stores.follows.following(bob))[alice]
    assert await stores.follows.followed_by(alice, [bob, carl, dora, bob]) == {bob: by_bob}
    assert set(await stores.follows.followed_by(dora, [alice, bob, carl])) == {alice, bob}


async def test_edges_between_several_followees_and_followers(stores: Stores) -> None:
    bob, carol, alice, dave = (fresh(name) for name in ("bob", "carol", "alice", "dave"))
    edge, other = an_edge(alice, offset=1), an_edge(dave, offset=2)
    await write_edges(stores, bob, [edge])
    await write_edges(stores, carol, [edge, other])
    assert await stores.follows.follower_edges([bob, carol], 0, [alice, dave]) == {
        (bob, alice): edge,
        (carol, alice): edge,
        (carol, dave): other,
    }


async def test_audiences_that_many_ask_for_at_once_are_each_their_own(stores: Stores) -> None:
    """Small ones are read together."""
    authors = [fresh("author") for _ in range(30)]
    for number, author in enumerate(authors):
        edges = [an_edge(f"f{n}", offset=n, active=n != 1) for n in range(number)]
        await write_edges(stores, author, edges)
    await stores.follows.mark_asleep("f0", [(authors[5], 0)], asleep=True, offset=1)
    together = await asyncio.gather(
        *(
            stores.follows.audience(author, ONLY_BUCKET, expected=number)
            for number, author in enumerate(authors)
        )
    )
    assert together == [await stores.follows.audience(author, ONLY_BUCKET) for author in authors]
    assert (together[5].awake_ids, together[5].asleep) == (["f2", "f3", "f4"], 1)
