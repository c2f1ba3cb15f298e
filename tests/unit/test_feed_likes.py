"""Likes in feeds: the count, the viewer's own, what a read of them costs, and their effect on relevance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.errors import Unavailable
from fanfold.core.ids import new_post_id
from fanfold.core.ports import RecentLike
from fanfold.http.positions import Written
from feed_service.caches.cache import SHARED_S
from feed_service.caches.recent_likes import JUDGED, LISTED, RecentLikes
from tests.support.clock import START_MS
from tests.support.feed import Reader, World, a_reader
from tests.support.liking import a_like, an_unlike

AN_HOUR_S = 3600


@pytest.fixture
async def world() -> World:
    """Alice follows Bob and Carol."""
    world = World()
    await world.follow("alice", "bob", "carol")
    return world


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Reader]:
    async with a_reader(world) as opened:
        yield opened


async def liked(reader: Reader, viewer: str = "alice") -> dict[UUID, bool]:
    return {item.post_id: item.liked_by_me for item in await reader.whole(viewer)}


async def like_many(world: World, user: str, count: int) -> None:
    """So many likes of posts that are in no feed, a second apart, the last of them now."""
    for n in range(count):
        post_id = new_post_id(START_MS - 10**9)
        change = a_like(world, user, post_id, by="stranger", ago_s=count - n)
        await change.project()


# --- what is shown -------------------------------------------------------------------------------------


async def test_a_post_shows_its_like_count_and_whether_the_viewer_likes_it(
    world: World, reader: Reader
) -> None:
    first, second = await world.post("bob", ago_s=2), await world.post("bob", ago_s=1)
    for user in ("alice", "carol", "dan"):
        await world.happen(a_like(world, user, first))
    await world.happen(a_like(world, "carol", second))
    await world.happen(an_unlike(world, "dan", first))
    for items in (
        await reader.whole("alice"),
        await reader.whole("alice", ranking="relevance"),
        (await reader.feeds.newest("alice", 10)).items,
        (await reader.read_posts("bob", viewer="alice", limit=10, cursor=None)).items,
    ):
        shown = {item.post_id: (item.like_count, item.liked_by_me) for item in items}
        assert shown == {first: (2, True), second: (1, False)}


async def test_a_like_older_than_the_last_five_hundred_is_still_shown(
    world: World, reader: Reader
) -> None:
    old = await world.post("bob", ago_s=AN_HOUR_S)
    other = await world.post("bob", ago_s=AN_HOUR_S + 1)
    await world.happen(a_like(world, "alice", old, ago_s=AN_HOUR_S - 60))
    await like_many(world, "alice", LISTED + 10)
    assert await liked(reader) == {old: True, other: False}
    assert world.likes.calls["of_user"] == 1


async def test_newer_posts_need_no_look_up_of_likes(world: World, reader: Reader) -> None:
    await like_many(world, "alice", LISTED + 10)
    new = [await world.post("bob", ago_s=n) for n in range(3)]
    await world.happen(a_like(world, "alice", new[1]))
    assert await liked(reader) == {new[0]: False, new[1]: True, new[2]: False}
    assert world.likes.calls["of_user"] == 0


async def test_without_likes_a_feed_is_incomplete_and_a_list_of_posts_is_refused(
    world: World, reader: Reader
) -> None:
    post_id = await world.post("bob")
    await world.happen(a_like(world, "alice", post_id))
    world.likes.away.add("recent")
    for ranking in ("chronological", "relevance"):
        page, missing = await reader.page("alice", ranking=ranking)
        assert ([item.post_id for item in page.items], missing) == ([post_id], ["likes"])
        assert not page.complete
    with pytest.raises(Unavailable):
        await reader.read_posts("bob", viewer="alice", limit=10, cursor=None)


async def test_when_only_likes_can_be_read_there_is_no_page(world: World, reader: Reader) -> None:
    world.timelines.away |= {"timeline", "pulled"}
    world.pulled_authors.away |= {"page", "announced"}
    world.posts.away.add("by_author")
    with pytest.raises(Unavailable):
        await reader.page("alice")


# --- what a read costs -------------------------------------------------------------------------------------


async def test_likes_are_read_concurrently_with_the_timeline(world: World, reader: Reader) -> None:
    await world.post("bob")
    release = world.timelines.pause_after("timeline")
    reading = asyncio.create_task(reader.page("alice"))
    await world.timelines.until_paused("timeline")
    assert world.likes.calls["recent"] == 1
    release()
    await reading


async def test_a_post_that_is_liked_constantly_is_read_twice_a_second(world: World) -> None:
    post_id = await world.post("bob", ago_s=60)
    async with a_reader(world, kept_s=SHARED_S) as reader:
        await reader.page("alice")
        world.posts.calls.clear()
        for n in range(100):
            await reader.page("alice")
            await world.happen(a_like(world, f"fan-{n}", post_id))
            world.clock.advance(SHARED_S / 10)
        assert world.posts.calls["get"] <= 11
        world.clock.advance(SHARED_S)
        (item,) = await reader.whole("alice")
        assert item.like_count == 100


async def test_a_read_after_one_s_own_like_counts_it(world: World, reader: Reader) -> None:
    post_id = await world.post("bob")
    await reader.page("alice")
    change = a_like(world, "alice", post_id)
    position = reader.log.keep(change.event, change.offset)
    await change.project()
    awaited = await reader.after_writes("alice", [Written(position)])
    page, _ = await reader.feeds.page(
        "alice", ranking="relevance", limit=10, cursor=None, awaited=awaited
    )
    (item,) = page.items
    assert (item.like_count, item.liked_by_me) == (1, True)


# --- recent likes ------------------------------------------------------------------------------------------


def some_likes(count: int) -> list[RecentLike]:
    return [
        RecentLike(START_MS - n, new_post_id(START_MS - n), f"by-{n % 4}") for n in range(count)
    ]


def test_recent_likes_hold_their_posts_and_no_others() -> None:
    for count in (0, 1, 2, 3, LISTED):
        likes = some_likes(count)
        recent = RecentLikes.of(likes)
        assert all(like.post_id in recent for like in likes)
        assert not any(like.post_id in recent for like in some_likes(20))


@given(st.lists(st.integers(0, 2**128 - 1)), st.integers(0, 2**128 - 1))
def test_recent_likes_hold_what_a_set_would_hold(numbers: list[int], other: int) -> None:
    recent = RecentLikes.of([RecentLike(0, UUID(int=number), "bob") for number in numbers])
    for number in (*numbers, *(n ^ 1 for n in numbers), *(n ^ 1 << 64 for n in numbers), other):
        assert (UUID(int=number) in recent) == (number in set(numbers))


def test_a_list_that_is_not_full_covers_all_posts() -> None:
    assert RecentLikes.of(some_likes(LISTED - 1)).covers(0)
    full = RecentLikes.of(some_likes(LISTED))
    oldest_ms = START_MS - LISTED + 1
    assert full.covers(oldest_ms + 10_000)
    # A like may carry an earlier time than its post: another service's clock gave it.
    assert not full.covers(oldest_ms + 9_999)


def test_affinity_is_the_share_of_the_last_hundred_likes() -> None:
    assert RecentLikes.of([]).author_shares == {}
    assert RecentLikes.of(some_likes(8)).author_shares == dict.fromkeys(
        ("by-0", "by-1", "by-2", "by-3"), 0.25
    )
    older = [like._replace(author_id="long ago") for like in some_likes(300)]
    assert set(RecentLikes.of(some_likes(JUDGED) + older).author_shares) == {
        "by-0",
        "by-1",
        "by-2",
        "by-3",
    }


# --- relevance -----------------------------------------------------------------------------------------


async def test_a_post_with_many_likes_ranks_above_a_slightly_newer_one(
    world: World, reader: Reader
) -> None:
    popular = await world.post("bob", ago_s=2 * AN_HOUR_S)
    fresh = await world.post("bob", ago_s=AN_HOUR_S)
    assert await reader.ids("alice", ranking="relevance") == [fresh, popular]
    for n in range(10):
        await world.happen(a_like(world, f"fan-{n}", popular))
    assert await reader.ids("alice", ranking="relevance") == [popular, fresh]
    assert await reader.ids("alice") == [fresh, popular]


async def test_a_post_by_a_liked_author_ranks_above_a_slightly_newer_one(
    world: World, reader: Reader
) -> None:
    carols = await world.post("carol", ago_s=2 * AN_HOUR_S)
    bobs = await world.post("bob", ago_s=AN_HOUR_S * 1.5)
    assert await reader.ids("alice", ranking="relevance") == [bobs, carols]
    for _ in range(5):
        earlier = new_post_id(START_MS - 10**9)
        await world.happen(a_like(world, "alice", earlier, by="carol"))
    assert await reader.ids("alice", ranking="relevance") == [carols, bobs]
    await world.follow("dan", "bob", "carol")
    assert await reader.ids("dan", ranking="relevance") == [bobs, carols]
