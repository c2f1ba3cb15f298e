from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.buckets import FollowerBucket, buckets_up_to, follower_bucket
from fanfold.core.ports import Follow, Stores, User
from tests.support.clock import START_MS, ManualClock
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


async def test_a_user_without_a_row_is_one_who_never_registered(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await stores.users.register(alice, "Alice 🌊", offset=0)
    found = await stores.users.get_many([alice, bob, alice])
    assert found == {alice: User(alice, display_name="Alice 🌊"), bob: User(bob)}
    assert [await stores.users.get(user_id) for user_id in found] == list(found.values())


async def test_standing_and_display_name_leave_each_other_alone(stores: Stores) -> None:
    bob = fresh("bob")
    standing = User(
        bob,
        follower_count=100_000,
        generation=2,
        delivery="pull",
        pull_since_ms=START_MS,
        count_offset=9,
    )
    await stores.users.write_standing(standing, offset=9)
    assert await stores.users.get_many([bob]) == {bob: standing}
    await stores.users.register(bob, "Bob", offset=3)
    [found] = (await stores.users.get_many([bob])).values()
    assert (found.display_name, found.follower_count, found.count_offset) == ("Bob", 100_000, 9)


async def test_an_author_who_never_crossed_has_no_pull_since(stores: Stores) -> None:
    bob = fresh("bob")
    await stores.users.write_standing(User(bob, follower_count=1), offset=0)
    assert await stores.users.get_many([bob]) == {bob: User(bob, follower_count=1, count_offset=0)}


async def test_an_older_name_or_standing_never_wins(stores: Stores) -> None:
    bob = fresh("bob")
    await stores.users.register(bob, "Robert", offset=5)
    await stores.users.register(bob, "Zacharias", offset=4)
    await stores.users.write_standing(User(bob, follower_count=2), offset=8)
    await stores.users.write_standing(User(bob, follower_count=3, pull_since_ms=1), offset=7)
    [found] = (await stores.users.get_many([bob])).values()
    assert found == User(bob, display_name="Robert", follower_count=2, count_offset=8)


@examples_in_one_store
@given(
    active=st.lists(st.booleans(), min_size=1, max_size=6),
    marked=st.integers(0, 5),
    seed=st.integers(),
)
async def test_an_edge_is_the_same_whatever_the_order_and_number_of_writes(
    stores: Stores, active: list[bool], marked: int, seed: int
) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores
    edges = [an_edge(alice, offset=at, active=each) for at, each in enumerate(active)]
    writes = [partial(write_edges, graph, bob, [edge]) for edge in edges]
    writes.append(partial(stores.follows.mark_materialised, bob, [(alice, marked)]))
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    last = edges[-1]
    assert await stores.follows.followers(bob, ONLY_BUCKET) == [last]
    assert await stores.follows.audience(bob, ONLY_BUCKET) == (
        [last.follower_id] if last.active else [],
        0,
    )
    assert await stores.follows.follower_edges(bob, 0, [alice]) == {alice: last}
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


async def test_an_old_backfill_does_not_vouch_for_a_new_follow(stores: Stores) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores

    async def materialised() -> bool:
        return (await stores.follows.following(alice))[bob].materialised

    await write_edges(graph, bob, [an_edge(alice, offset=1)])
    assert not await materialised()
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert await materialised()
    await write_edges(graph, bob, [an_edge(alice, offset=2, active=False, follow_offset=1)])
    await write_edges(graph, bob, [an_edge(alice, offset=3)])
    assert not await materialised()
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert not await materialised()
    await stores.follows.mark_materialised(bob, [(alice, 3)])
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    assert await materialised()


async def test_a_follow_repeated_keeps_its_name_and_its_mark(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await write_edges(stores, bob, [an_edge(alice, offset=1)])
    await stores.follows.mark_materialised(bob, [(alice, 1)])
    await write_edges(stores, bob, [an_edge(alice, offset=5, follow_offset=1)])
    follow = (await stores.follows.following(alice))[bob]
    assert (follow.follow_offset, follow.offset, follow.materialised) == (1, 5, True)


async def test_a_follow_can_be_marked_in_the_write_that_shows_it(stores: Stores) -> None:
    alice, carol, bob = fresh("alice"), fresh("carol"), fresh("bob")
    edges = [an_edge(alice, offset=1), an_edge(carol, offset=2)]
    await stores.follows.write_followers(bob, edges)
    assert set(await stores.follows.follower_edges(bob, 0, [alice, carol])) == {alice, carol}
    assert await stores.follows.following(alice) == {}, "its own side is not written yet"

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


async def test_follows_are_all_there_in_order_of_followee(stores: Stores) -> None:
    alice = fresh("alice")
    followees = [fresh(name) for name in ("zoe", "Bob", "bob", "_x", "0")]
    for at, followee in enumerate(followees):
        await write_edges(stores, followee, [an_edge(alice, offset=at, active=at % 2 == 0)])
    follows = await stores.follows.following(alice)
    assert list(follows) == sorted(followees)
    assert {followee for followee, follow in follows.items() if not follow.active} == {
        followees[1],
        followees[3],
    }


async def test_edges_are_found_in_the_generation_they_were_written_in(stores: Stores) -> None:
    bob, old, new = fresh("bob"), fresh("old"), fresh("new")
    edges = [an_edge(old, offset=1, generation=0), an_edge(new, offset=2, generation=1)]
    await write_edges(stores, bob, edges)
    assert await stores.follows.follower_edges(bob, 0, [old, new]) == {old: edges[0]}
    assert await stores.follows.follower_edges(bob, 1, [old, new]) == {new: edges[1]}
    assert await stores.follows.follower_edges(bob, 2, [old, new]) == {}
    assert await stores.follows.follower_edges(bob, 0, []) == {}


async def test_thousands_of_edges_are_each_in_their_bucket_and_on_both_sides(
    stores: Stores,
) -> None:
    bob = fresh("bob")
    followers = [fresh("f") for _ in range(1200)]
    edges = [an_edge(each, offset=at, generation=1) for at, each in enumerate(followers)]
    await write_edges(stores, bob, edges)
    found = []
    for bucket in buckets_up_to(1):
        rows = await stores.follows.followers(bob, bucket)
        assert all(
            (edge.generation, follower_bucket(edge.follower_id, 1)) == bucket for edge in rows
        )
        found += rows
    assert {edge.follower_id: edge for edge in found} == {edge.follower_id: edge for edge in edges}
    assert await stores.follows.follower_edges(bob, 1, followers) == {
        edge.follower_id: edge for edge in edges
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
    found = await all_pages(
        lambda after: stores.follows.followers(bob, ONLY_BUCKET, after=after, limit=limit),
        limit=limit,
        cursor=lambda edge: edge.follower_id,
    )
    assert found == await stores.follows.followers(bob, ONLY_BUCKET)
    assert found == sorted(edges, key=lambda edge: edge.follower_id)


async def test_leaving_is_for_good_and_leaves_name_and_standing_alone(stores: Stores) -> None:
    bob, ghost = fresh("bob"), fresh("ghost")
    await stores.users.register(bob, "Bob", offset=1)
    await stores.users.leave(bob, offset=5)
    await stores.users.leave(bob, offset=2)
    await stores.users.register(bob, "Bobby", offset=7)
    await stores.users.write_standing(User(bob, follower_count=2), offset=8)
    await stores.users.leave(ghost, offset=0)
    assert await stores.users.get_many([bob, ghost]) == {
        bob: User(bob, display_name="Bobby", follower_count=2, count_offset=8, left=True),
        ghost: User(ghost, left=True),
    }


async def test_everyone_with_a_row_is_walked_once_as_a_look_finds_them(stores: Stores) -> None:
    users = [fresh("u") for _ in range(30)]
    for at, user in enumerate(users):
        match at % 4:
            case 0:
                await stores.users.register(user, f"Name {at}", offset=at)
            case 1:
                standing = User(user, follower_count=at, delivery="pull", pull_since_ms=START_MS)
                await stores.users.write_standing(standing, offset=at)
            case 2:
                await stores.users.set_asleep(user, asleep=True, offset=at)
            case _:
                await stores.users.leave(user, offset=at)
    stranger = fresh("stranger")
    await write_edges(stores, stranger, [an_edge(stranger, offset=0)])
    found = [user async for user in stores.users.everyone()]
    ids = [user.user_id for user in found]
    assert len(ids) == len(set(ids))
    assert stranger not in ids, "who has edges only has no row"
    walked = {user.user_id: user for user in found if user.user_id in users}
    assert walked == await stores.users.get_many(users)
    assert set(walked) == set(users)
