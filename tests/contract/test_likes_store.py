from __future__ import annotations

from functools import partial
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.buckets import TIME_BUCKET_MS
from fanfold.core.ports import Like, LikeCount, ListedLike, Post, RecentLike, Stores
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import (
    a_post_id,
    all_pages,
    fresh,
    like_count,
    shuffled_with_repetitions,
    stores_of_each_adapter,
)

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def a_like(
    user_id: str, post_id: UUID, *, offset: int = 0, active: bool = True, ms: int = START_MS
) -> Like:
    return Like(user_id, post_id, "bob", active, ms, offset)


def a_recent(post_id: UUID, *, ms: int = START_MS) -> RecentLike:
    return RecentLike(ms, post_id, "bob")


async def test_a_post_without_likes_counts_0_and_has_no_offset(stores: Stores) -> None:
    post_id = a_post_id()
    assert await like_count(stores.likes, post_id) == LikeCount(0, None)
    await stores.posts.create(post_id, fresh("bob"), "hello")
    assert await like_count(stores.likes, post_id) == LikeCount(0, None)


async def test_a_count_stands_in_the_posts_row_and_leaves_the_rest_of_it_alone(
    stores: Stores,
) -> None:
    post_id, author = a_post_id(), fresh("bob")
    await stores.posts.create(post_id, author, "hello")
    await stores.posts.edit(post_id, "better", edited_at_ms=START_MS, offset=4)
    # The offset of another topic: that it is lower than the edit's means nothing.
    await stores.likes.write_counts({post_id: LikeCount(7, 2)})
    assert await like_count(stores.likes, post_id) == LikeCount(7, 2)
    assert await stores.posts.get([post_id]) == {
        post_id: Post(post_id, author, "better", START_MS, False, 4, like_count=7, like_offset=2)
    }


async def test_likes_that_come_before_their_post_make_no_post_and_are_kept_for_it(
    stores: Stores,
) -> None:
    post_id, author = a_post_id(), fresh("bob")
    await stores.likes.write_counts({post_id: LikeCount(3, 5)})
    assert await stores.posts.get([post_id]) == {}
    assert await like_count(stores.likes, post_id) == LikeCount(3, 5)
    await stores.posts.create(post_id, author, "hello")
    [post] = (await stores.posts.get([post_id])).values()
    assert (post.content, post.like_count, post.like_offset) == ("hello", 3, 5)


async def test_a_count_may_fall_back_to_none(stores: Stores) -> None:
    post_id = a_post_id()
    await stores.likes.write_counts({post_id: LikeCount(1, 0)})
    await stores.likes.write_counts({post_id: LikeCount(0, 1)})
    assert await like_count(stores.likes, post_id) == LikeCount(0, 1)


async def test_the_counts_of_many_posts_are_written_and_read_together(stores: Stores) -> None:
    counts = {a_post_id(): LikeCount(n, n + 1) for n in range(150)}
    await stores.likes.write_counts(counts)
    never = a_post_id()
    assert await stores.likes.counts([*counts, never, never]) == {
        **counts,
        never: LikeCount(0, None),
    }


@examples_in_one_store
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6), seed=st.integers())
async def test_a_count_is_the_last_one_whatever_the_order_and_number_of_writes(
    stores: Stores, counts: list[int], seed: int
) -> None:
    post_id = a_post_id()
    writes = [
        partial(stores.likes.write_counts, {post_id: LikeCount(likes, at)})
        for at, likes in enumerate(counts)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    assert await like_count(stores.likes, post_id) == LikeCount(counts[-1], len(counts) - 1)


@examples_in_one_store
@given(active=st.lists(st.booleans(), min_size=1, max_size=6), seed=st.integers())
async def test_a_like_is_the_same_whatever_the_order_and_number_of_writes(
    stores: Stores, active: list[bool], seed: int
) -> None:
    post_id, alice = a_post_id(), fresh("alice")
    history = [
        a_like(alice, post_id, offset=offset, active=state, ms=START_MS + offset)
        for offset, state in enumerate(active)
    ]
    for like in shuffled_with_repetitions(history, seed):
        await stores.likes.write([like])
    assert await stores.likes.of_post(post_id, [alice]) == {alice: history[-1]}
    expected = {post_id} if active[-1] else set()
    assert await stores.likes.of_user(alice, [post_id]) == expected


@examples_in_one_store
@given(seed=st.integers(), rows=st.integers(1, 5))
async def test_likes_of_one_write_have_offsets_of_their_own(
    stores: Stores, seed: int, rows: int
) -> None:
    post_id, alice, carol = a_post_id(), fresh("alice"), fresh("carol")
    history = [a_like(alice, post_id, offset=at, active=at % 2 == 0) for at in range(5)]
    history += [a_like(carol, post_id, offset=at, active=at % 2 == 1) for at in range(5)]
    shuffled = shuffled_with_repetitions(history, seed)
    for start in range(0, len(shuffled), rows):
        await stores.likes.write(shuffled[start : start + rows])
    assert await stores.likes.of_post(post_id, [alice, carol]) == {
        alice: history[4],
        carol: history[9],
    }


async def test_only_the_likes_of_the_given_users_are_found(
    stores: Stores,
) -> None:
    post_id, other = a_post_id(), a_post_id()
    alice, carol, dave = fresh("alice"), fresh("carol"), fresh("dave")
    await stores.likes.write([a_like(alice, post_id), a_like(carol, post_id), a_like(dave, other)])
    assert await stores.likes.of_post(post_id, [alice, dave, alice]) == {
        alice: a_like(alice, post_id)
    }
    pairs = [(alice, post_id), (dave, post_id), (dave, other), (alice, post_id)]
    assert await stores.likes.of_pairs(pairs) == {
        (alice, post_id): a_like(alice, post_id),
        (dave, other): a_like(dave, other),
    }
    assert await stores.likes.of_post(post_id, []) == {}
    assert await stores.likes.counts([]) == {}
    await stores.likes.write([])


async def test_more_likes_than_fit_one_batch_are_written_in_one_call(stores: Stores) -> None:
    post_id = a_post_id()
    likers = [fresh("liker") for _ in range(300)]
    await stores.likes.write([a_like(liker, post_id, offset=n) for n, liker in enumerate(likers)])
    found = await stores.likes.of_post(post_id, likers)
    assert [found[liker].offset for liker in likers] == list(range(300))


async def test_likes_of_posts_years_apart_are_found_together(stores: Stores) -> None:
    alice = fresh("alice")
    posts = [a_post_id(START_MS - n * TIME_BUCKET_MS) for n in (0, 1, 2, 40)]
    liked, unliked, never = posts[:2], posts[2], posts[3]
    await stores.likes.write([a_like(alice, post_id) for post_id in liked])
    await stores.likes.write([a_like(alice, unliked, active=False)])
    assert await stores.likes.of_user(alice, [*posts, liked[0]]) == set(liked)
    assert await stores.likes.of_user(alice, [unliked, never]) == set()
    assert await stores.likes.of_user(fresh("carol"), posts) == set()
    assert await stores.likes.of_user(alice, []) == set()
    found = await stores.likes.of_pairs([(alice, post_id) for post_id in posts])
    assert {post_id: like.active for (_, post_id), like in found.items()} == {
        **dict.fromkeys(liked, True),
        unliked: False,
    }


@pytest.mark.parametrize("limit", [1, 3, 30])
async def test_recent_likes_come_newest_first_in_pages_without_those_that_ended(
    stores: Stores, limit: int
) -> None:
    alice, likes = fresh("alice"), stores.likes
    # Three likes in every millisecond, so that pages end between equal times.
    entries = [a_recent(a_post_id(), ms=START_MS + n // 3) for n in range(60)]
    for entry in entries:
        await likes.write_recent([ListedLike(alice, entry, True, 1)])
    # A run of ended ones longer than a page, and one here and there.
    ended = [*entries[20:48], entries[3], entries[-1]]
    await likes.write_recent([ListedLike(alice, entry, False, 2) for entry in ended])
    found = await all_pages(
        lambda before: likes.recent(alice, before=before, limit=limit), limit=limit, cursor=_itself
    )
    assert found == sorted(set(entries) - set(ended), reverse=True)


def _itself(like: RecentLike) -> RecentLike:
    return like


@examples_in_one_store
@given(active=st.lists(st.booleans(), min_size=1, max_size=6), seed=st.integers())
async def test_a_recent_like_stands_or_not_whatever_the_order_and_number_of_writes(
    stores: Stores, active: list[bool], seed: int
) -> None:
    alice, entry = fresh("alice"), a_recent(a_post_id())
    writes = [
        partial(stores.likes.write_recent, [ListedLike(alice, entry, state, offset)])
        for offset, state in enumerate(active)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    assert await stores.likes.recent(alice, limit=5) == ([entry] if active[-1] else [])


async def test_a_post_that_is_liked_again_stands_at_its_new_time_only(stores: Stores) -> None:
    alice, post_id, likes = fresh("alice"), a_post_id(), stores.likes
    first, again = a_recent(post_id), a_recent(post_id, ms=START_MS + 5)
    begun = ListedLike(alice, first, True, 0)
    await likes.write_recent([begun, ListedLike(alice, again, True, 2)])
    await likes.write_recent([ListedLike(alice, first, False, 1), begun])
    assert await likes.recent(alice, limit=5) == [again]


async def test_likes_of_different_users_do_not_meet(stores: Stores) -> None:
    alice, carol, post_id = fresh("alice"), fresh("carol"), a_post_id()
    like = a_recent(post_id)
    await stores.likes.write_recent(
        [ListedLike(alice, like, True, 0), ListedLike(carol, like, False, 1)]
    )
    assert await stores.likes.recent(alice, limit=5) == [a_recent(post_id)]
    assert await stores.likes.recent(carol, limit=5) == []
