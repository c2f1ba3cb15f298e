"""Live feeds: the changes turn a client's state into the feed, wherever the stream is cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.errors import Unavailable
from fanfold.core.events import (
    Event,
    PostCreated,
    PostDeleted,
    PostLiked,
    UserFollowed,
    UserLeft,
    from_ms,
)
from fanfold.core.ids import new_post_id
from fanfold.core.ports import Post
from fanfold.core.settings import Settings
from fanfold.http.problems import Invalid, UserNotFound
from feed_service.live.client_state import (
    MOST_ITEMS,
    Change,
    change,
    state_id,
    state_of,
    state_of_id,
)
from feed_service.live.live_feeds import (
    LIKES_S,
    MIN_INTERVAL_S,
    SOON_S,
    WITHOUT_HINT_S,
    LiveFeeds,
    TooManyOfYours,
    TooManyStreams,
)
from feed_service.live.open_feeds import LiveFeed, OpenFeeds
from feed_service.query.items import FeedItem, Newest
from tests.support.clock import START_MS, ManualClock

AT = from_ms(START_MS)


def an_item(n: int, content: str = "hello") -> FeedItem:
    post_id = new_post_id(START_MS + n)
    return FeedItem.of(
        Post(post_id, "bob", content), author="Bob", liked_by_me=False, source="push"
    )


ITEMS = [an_item(n) for n in range(12)]


# --- changes ------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11))), max_size=5),
)
def test_a_client_that_applies_every_change_shows_the_feed(
    feeds: list[tuple[set[int], set[int]]],
) -> None:
    client: dict[UUID, FeedItem] = {}
    state = state_of([])
    for shown, edited in feeds:
        feed = [
            replace(ITEMS[n], content="edited") if n in edited else ITEMS[n]
            for n in sorted(shown, reverse=True)
        ]
        found = change(state, feed)
        for post_id in found.removed:
            del client[post_id]
        client.update({item.post_id: item for item in found.shown})
        assert sorted(client.values(), key=lambda item: item.post_id, reverse=True) == feed
        state = state_of_id(state_id(state_of(feed), scope="s"), scope="s")


def test_an_item_that_the_client_has_is_not_sent_again() -> None:
    assert change(state_of(ITEMS), ITEMS) == Change([], [])


def test_new_items_come_oldest_first() -> None:
    newest_first = ITEMS[::-1]
    assert change({}, newest_first).shown == ITEMS


def test_an_id_of_another_stream_or_without_meaning_is_refused() -> None:
    event_id = state_id(state_of(ITEMS), scope="stream/alice")
    for refused in (event_id, "", "nonsense", event_id[:-2]):
        with pytest.raises(Invalid):
            state_of_id(refused, scope="stream/bob")


def test_the_id_of_the_longest_state_fits_into_a_header() -> None:
    items = [an_item(n) for n in range(MOST_ITEMS)]
    event_id = state_id(state_of(items), scope="stream/alice")
    assert len(event_id) < 2048
    with pytest.raises(Invalid):
        state_of_id(state_id(state_of([*items, an_item(99)]), scope="s"), scope="s")


# --- when a stream looks ------------------------------------------------------------------------------


@dataclass
class Feed:
    """A feed that the test changes, and how often it was read."""

    clock: ManualClock = field(default_factory=ManualClock)
    items: list[FeedItem] = field(default_factory=lambda: [ITEMS[0]])
    complete: bool = True
    away: bool = False
    left: bool = False
    reads: int = 0
    pulled: frozenset[str] = frozenset()

    async def newest(self, viewer: str, limit: int, pulled: frozenset[str]) -> Newest:
        self.reads += 1
        self.pulled = pulled
        if self.away:
            raise Unavailable("away")
        if self.left:
            raise UserNotFound("left")
        return Newest(self.items[:limit], frozenset({viewer, "bob"}), self.complete)


@dataclass
class Client:
    feed: Feed
    live: LiveFeeds
    stream: LiveFeed
    changes: list[Change] = field(default_factory=list)
    ended: bool = False

    async def after(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.feed.clock.advance(0.1)
            for _ in range(10):
                await asyncio.sleep(0)

    async def follow(self) -> None:
        async for found, _ in self.live.changes(self.stream, {}, limit=20):
            self.changes.append(found)
        self.ended = True


@asynccontextmanager
async def a_client(feed: Feed, live: LiveFeeds | None = None) -> AsyncIterator[Client]:
    live = live or LiveFeeds(
        feed.newest, clock=feed.clock, settings=Settings(live_feeds=1, live_feeds_per_user=1)
    )
    with live.opened("alice") as stream:
        client = Client(feed, live, stream)
        tasks = [asyncio.create_task(live.tick_forever()), asyncio.create_task(client.follow())]
        await client.after(0.1)
        try:
            yield client
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def created(by: str = "bob", n: int = 1) -> PostCreated:
    return PostCreated(
        post_id=new_post_id(START_MS + n), author_id=by, content="new", created_at=AT
    )


async def test_the_first_change_is_the_feed_as_it_is() -> None:
    async with a_client(Feed()) as client:
        assert client.changes == [Change(client.feed.items, [])]


async def test_an_empty_feed_is_a_first_change_too() -> None:
    async with a_client(Feed(items=[])) as client:
        assert client.changes == [Change([], [])]


async def test_a_stream_ends_when_its_viewer_leaves() -> None:
    async with a_client(Feed()) as client:
        client.feed.left = True
        client.live.hint(UserLeft(user_id="alice", left_at=AT))
        await client.after(MIN_INTERVAL_S + SOON_S + 0.2)
        assert client.ended


async def test_a_user_who_left_is_refused_a_stream_but_no_user_while_that_is_unknown() -> None:
    feed = Feed(away=True)
    live = LiveFeeds(
        feed.newest, clock=feed.clock, settings=Settings(live_feeds=1, live_feeds_per_user=1)
    )
    await live.refuse_left("alice")
    feed.away, feed.left = False, True
    with pytest.raises(UserNotFound):
        await live.refuse_left("alice")


async def test_a_post_of_a_followed_author_is_sent_soon_and_pulled_until_its_fan_out_has_arrived() -> (
    None
):
    async with a_client(Feed()) as client:
        await client.after(MIN_INTERVAL_S)
        client.feed.items = [ITEMS[1], *client.feed.items]
        client.live.hint(created())
        await client.after(SOON_S + 0.1)
        assert client.changes[1:] == [Change([ITEMS[1]], [])]
        assert client.feed.pulled == {"bob"}
        await client.after(70)
        assert client.feed.pulled == frozenset()


async def test_a_post_during_the_first_look_is_sent_as_soon_as_any_other() -> None:
    feed = Feed()
    live = LiveFeeds(
        feed.newest, clock=feed.clock, settings=Settings(live_feeds=1, live_feeds_per_user=1)
    )
    with live.opened("alice") as stream:
        changes = live.changes(stream, {}, limit=20)
        looking = asyncio.ensure_future(anext(changes))
        ticking = asyncio.create_task(live.tick_forever())
        live.hint(created())  # the feed is being read
        found, state = await looking
        assert (found.shown, list(state)) == (feed.items, [ITEMS[0].post_id])
        feed.items = [ITEMS[1], *feed.items]
        looking = asyncio.ensure_future(anext(changes))
        for _ in range(12):
            feed.clock.advance(0.1)
            for _ in range(10):
                await asyncio.sleep(0)
        ticking.cancel()
        found, _ = await asyncio.wait_for(looking, 5)
        assert found.shown == [ITEMS[1]]
        assert feed.pulled == {"bob"}


async def test_a_stranger_s_post_costs_nothing() -> None:
    async with a_client(Feed()) as client:
        await client.after(MIN_INTERVAL_S)
        reads = client.feed.reads
        client.live.hint(created(by="stranger"))
        await client.after(2)
        assert client.feed.reads == reads


async def test_a_removal_is_sent() -> None:
    async with a_client(Feed()) as client:
        await client.after(MIN_INTERVAL_S)
        (gone,) = client.feed.items
        client.feed.items = []
        client.live.hint(PostDeleted(post_id=gone.post_id, author_id="bob", deleted_at=AT))
        await client.after(SOON_S + 0.1)
        assert client.changes[1:] == [Change([], [gone.post_id])]


async def test_an_unavailable_source_removes_nothing() -> None:
    async with a_client(Feed()) as client:
        client.feed.items, client.feed.complete = [], False
        await client.after(15)
        client.feed.away = True
        await client.after(15)
        assert len(client.changes) == 1
        client.feed.away, client.feed.complete = False, True
        await client.after(2)
        assert client.changes[1:] == [Change([], [ITEMS[0].post_id])]


async def test_a_change_without_an_event_is_found_within_seconds() -> None:
    async with a_client(Feed()) as client:
        client.feed.items = [ITEMS[1], *client.feed.items]
        await client.after(WITHOUT_HINT_S + 0.2)
        assert client.changes[1:] == [Change([ITEMS[1]], [])]


async def test_a_storm_of_events_costs_two_looks_a_second() -> None:
    async with a_client(Feed()) as client:
        await client.after(MIN_INTERVAL_S)
        reads = client.feed.reads
        for n in range(50):
            client.live.hint(created(n=n))
            await client.after(0.1)
        assert client.feed.reads - reads <= 5 / MIN_INTERVAL_S + 1


async def test_other_users_likes_wait_and_one_s_own_do_not() -> None:
    post_id = ITEMS[0].post_id

    def liked(by: str) -> Event:
        return PostLiked(post_id=post_id, author_id="bob", user_id=by, liked_at=AT)

    async with a_client(Feed()) as client:
        await client.after(MIN_INTERVAL_S)
        reads = client.feed.reads
        client.live.hint(liked("carol"))
        await client.after(LIKES_S - 1)
        assert client.feed.reads == reads
        await client.after(1.2)
        assert client.feed.reads == reads + 1
        client.live.hint(liked("alice"))
        await client.after(MIN_INTERVAL_S + 0.1)
        assert client.feed.reads == reads + 2


async def test_one_s_own_follow_causes_a_look_and_another_user_s_does_not() -> None:
    async with a_client(Feed()) as client:
        await client.after(MIN_INTERVAL_S)
        reads = client.feed.reads
        client.live.hint(UserFollowed(follower_id="carol", followee_id="bob", followed_at=AT))
        await client.after(0.3)
        assert client.feed.reads == reads
        client.live.hint(UserFollowed(follower_id="alice", followee_id="zoe", followed_at=AT))
        await client.after(0.3)
        assert client.feed.reads == reads + 1


async def test_stream_slots_are_bounded_and_released() -> None:
    feed = Feed()
    live = LiveFeeds(
        feed.newest, clock=feed.clock, settings=Settings(live_feeds=1, live_feeds_per_user=1)
    )
    async with a_client(feed, live):
        with pytest.raises(TooManyStreams), live.opened("bob"):
            pass
    with live.opened("bob"):
        pass


async def test_closing_ends_every_stream_and_admits_no_more() -> None:
    async with a_client(Feed()) as client:
        client.live.close()
        await client.after(0.1)
        assert client.ended
        with pytest.raises(TooManyStreams), client.live.opened("bob"):
            pass


async def test_one_user_takes_a_few_slots_and_no_more() -> None:
    feed = Feed()
    live = LiveFeeds(
        feed.newest, clock=feed.clock, settings=Settings(live_feeds=10, live_feeds_per_user=2)
    )
    with live.opened("alice"), live.opened("alice"):
        with pytest.raises(TooManyOfYours) as refused, live.opened("alice"):
            pass
        assert refused.value.status == 429
        assert "Retry-After" in refused.value.headers
        with live.opened("bob"):
            pass
    with live.opened("alice"):
        pass


async def test_an_event_costs_what_its_own_streams_cost_however_many_others_are_open() -> None:
    """A like of a popular author's post came a thousand times a second, and each looked at every stream."""
    feed = Feed()
    live = LiveFeeds(
        feed.newest, clock=feed.clock, settings=Settings(live_feeds=2_000, live_feeds_per_user=1)
    )
    with ExitStack() as stack:
        for n in range(1_000):
            opened = stack.enter_context(live.opened(f"user-{n}"))
            live._open.show(opened, frozenset({"star", f"author-{n}"}))
        likes = [
            PostLiked(post_id=ITEMS[0].post_id, author_id="star", user_id=f"fan-{n}", liked_at=AT)
            for n in range(1_000)
        ]
        began = time.thread_time()
        for like in likes:
            live.hint(like)
        per_like_us = (time.thread_time() - began) * 1000
        assert per_like_us < 100
        began = time.thread_time()
        live._follow_hints()
        assert (time.thread_time() - began) * 1000 < 20
        assert len(live._open.showing("author-7")) == 1
        assert len(live._open.showing("star")) == 1_000
    assert len(live._open) == 0
    assert live._open.showing("star") == set()


def test_an_index_forgets_authors_who_are_no_longer_shown() -> None:
    feeds = OpenFeeds()
    feed = LiveFeed("alice")
    feeds.add(feed)
    assert feeds.showing("anybody") == {feed}, (
        "until its first look has ended it shows every author"
    )
    feeds.show(feed, frozenset({"bob", "carol"}))
    assert feeds.showing("anybody") == set()
    feeds.show(feed, frozenset({"carol"}))
    assert (feeds.showing("bob"), feeds.showing("carol")) == (set(), {feed})
    assert feeds.showing("alice") == {feed}, "a viewer's own posts are in the feed"
    feeds.remove(feed)
    assert feeds.showing("carol") == set()
    assert list(feeds) == []
