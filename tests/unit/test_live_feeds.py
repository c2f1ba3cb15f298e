"""Live feeds: the changes turn a client's state into the feed, wherever the stream is cut off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.adapters.memory.shared_cache import MemorySharedCache
from fanfold.core.cache_keys import (
    graph_key,
    like_count_key,
    names_a_feed,
    post_key,
    recent_likes_key,
)
from fanfold.core.errors import Unavailable
from fanfold.core.ids import new_post_id
from fanfold.core.ports import Post
from fanfold.core.ports.shared_cache import Lease
from fanfold.core.settings import Settings
from fanfold.http.post_resource import Author
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
    AT_LEAST_EVERY_S,
    COUNTS_S,
    IN_VAIN_AT_ONCE,
    LOOKS_AT_ONCE,
    UNMARKED_LOOKS,
    LiveFeeds,
    TooManyOfYours,
    TooManyStreams,
)
from feed_service.live.open_feeds import LiveFeed
from feed_service.live.watching import Watching
from feed_service.query.items import FeedItem, Newest
from feed_service.query.watched_keys import Watched, watched_keys
from tests.support.clock import START_MS, ManualClock
from tests.support.shared_caches import Epoch


def an_item(n: int, content: str = "hello") -> FeedItem:
    post_id = new_post_id(START_MS + n)
    return FeedItem.of(
        Post(post_id, "bob", content), author=Author("Bob"), liked_by_me=False, source="push"
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

QUIET_S = 2.0
"""By then a stream that has just opened looks only because time passes."""


class Cache(MemorySharedCache):
    """Counts which marks were asked."""

    def __init__(self, clock: ManualClock) -> None:
        self.epoch = Epoch()
        self.asked: Counter[str] = Counter()
        super().__init__(Settings(), clock=clock, epoch=self.epoch)

    async def marks(self, keys: Sequence[str]) -> list[bytes] | None:
        self.asked.update(keys)
        return await super().marks(keys)


@dataclass
class Feed:
    """A feed that the test changes, how often it was read, and what a process was asked to read again. A look fills what it doesn't find."""

    clock: ManualClock = field(default_factory=ManualClock)
    items: list[FeedItem] = field(default_factory=lambda: [ITEMS[0]])
    complete: bool = True
    away: bool = False
    left: bool = False
    fills: bool = True
    reads: int = 0
    reading: int = 0
    most_reading: int = 0
    dropped: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cache = Cache(self.clock)

    async def newest(self, viewer: str, limit: int) -> Newest:
        self.reads += 1
        if self.away:
            raise Unavailable("away")
        if self.left:
            raise UserNotFound("left")
        items, complete = self.items[:limit], self.complete
        watched = watched_keys(viewer, items, authored=(), celebrities=("star",))
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        await asyncio.sleep(0)
        for key in (key for kind in watched for key in kind if self.fills):
            await self.look_up(key)
        self.reading -= 1
        return Newest(items, watched, complete)

    async def look_up(self, key: str) -> None:
        await asyncio.sleep(0)
        if names_a_feed(key):
            leased = await self.cache.feed(key.removeprefix("feed:user:"))
            if isinstance(leased, Lease):
                await self.cache.fill_feed(leased, [], end=b"")
            return
        (found,) = await self.cache.look_up([key])
        if isinstance(found, Lease):
            await self.cache.fill([(found, b"x")])

    def drop(self, keys: Collection[str]) -> None:
        self.dropped.update(keys)

    def live(self, *, most: int = 1, per_user: int = 1) -> LiveFeeds:
        return LiveFeeds(
            self.newest,
            cache=self.cache,
            drop=self.drop,
            settings=Settings(live_feeds=most, live_feeds_per_user=per_user),
            clock=self.clock,
        )

    async def pass_time(self, seconds: float, *, turns: int = 60) -> None:
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            for _ in range(turns):
                await asyncio.sleep(0)

    async def pushed(self, item: FeedItem, *, to: str = "alice") -> None:
        self.items = [item, *self.items]
        await self.cache.push([item.post_id.bytes], [to])


@dataclass
class Client:
    feed: Feed
    live: LiveFeeds
    stream: LiveFeed
    changes: list[Change] = field(default_factory=list)
    ended: bool = False

    async def after(self, seconds: float) -> None:
        await self.feed.pass_time(seconds)

    async def follow(self) -> None:
        async for found, _ in self.live.changes(self.stream, {}, limit=20):
            self.changes.append(found)
        self.ended = True


@asynccontextmanager
async def a_client(feed: Feed, live: LiveFeeds | None = None) -> AsyncIterator[Client]:
    live = live or feed.live()
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


@asynccontextmanager
async def a_quiet_client(feed: Feed | None = None) -> AsyncIterator[Client]:
    """A client that has its feed, and whose stream has nothing to do."""
    async with a_client(feed or Feed()) as client:
        await client.after(QUIET_S)
        assert len(client.changes) == 1
        yield client


@asynccontextmanager
async def streams_of_different_users(feed: Feed, count: int) -> AsyncIterator[None]:
    """So many open streams of one process, each with a client that follows it."""
    live = feed.live(most=count)
    with ExitStack() as opened:
        tasks = [asyncio.create_task(live.tick_forever())]
        for number in range(count):
            stream = opened.enter_context(live.opened(f"user-{number}"))
            tasks.append(asyncio.create_task(Client(feed, live, stream).follow()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_first_change_is_the_feed_as_it_is() -> None:
    async with a_client(Feed()) as client:
        assert client.changes == [Change(client.feed.items, [])]


async def test_an_empty_feed_is_a_first_change_too() -> None:
    async with a_client(Feed(items=[])) as client:
        assert client.changes == [Change([], [])]


async def test_a_stream_ends_when_its_viewer_leaves() -> None:
    async with a_quiet_client() as client:
        client.feed.left = True
        await client.feed.cache.forget([graph_key("alice")])
        await client.after(0.5)
        assert client.ended


async def test_a_user_who_left_is_refused_a_stream_but_no_user_while_that_is_unknown() -> None:
    feed = Feed(away=True)
    live = feed.live()
    await live.refuse_left("alice")
    feed.away, feed.left = False, True
    with pytest.raises(UserNotFound):
        await live.refuse_left("alice")


@pytest.mark.parametrize("since_the_last_one_s", [n / 10 for n in range(1, 12)])
async def test_a_post_that_is_pushed_is_sent_within_half_a_second(
    since_the_last_one_s: float,
) -> None:
    async with a_quiet_client() as client:
        await client.feed.pushed(ITEMS[1])
        await client.after(since_the_last_one_s)
        await client.feed.pushed(ITEMS[2])
        await client.after(0.5)
        assert [item for found in client.changes[1:] for item in found.shown] == ITEMS[1:3]


async def test_a_post_during_the_first_look_is_sent_as_soon_as_any_other() -> None:
    feed = Feed()
    live = feed.live()
    with live.opened("alice") as stream:
        changes = live.changes(stream, {}, limit=20)
        looking = asyncio.ensure_future(anext(changes))
        ticking = asyncio.create_task(live.tick_forever())
        await asyncio.sleep(0)
        assert feed.reads == 1
        await feed.pushed(ITEMS[1])  # the feed is being read, and its list is not filled yet
        found, state = await looking
        assert (found.shown, list(state)) == ([ITEMS[0]], [ITEMS[0].post_id])
        looking = asyncio.ensure_future(anext(changes))
        await feed.pass_time(0.8)
        ticking.cancel()
        found, _ = await asyncio.wait_for(looking, 5)
        assert found.shown == [ITEMS[1]]


async def test_what_the_first_look_fills_causes_one_more_look_and_then_there_is_quiet() -> None:
    async with a_quiet_client() as client:
        assert client.feed.reads == 2
        await client.after(AT_LEAST_EVERY_S - QUIET_S)
        assert client.feed.reads == 2


async def test_a_stranger_s_post_costs_nothing() -> None:
    async with a_quiet_client() as client:
        asked = len(client.feed.cache.asked)
        await client.feed.cache.push([b"1"], ["zoe"])
        await client.feed.cache.forget([graph_key("zoe"), post_key(ITEMS[5].post_id)])
        await client.after(2)
        assert client.feed.reads == 2
        assert len(client.feed.cache.asked) == asked


async def test_a_removal_is_sent_within_a_second() -> None:
    async with a_quiet_client() as client:
        (gone,) = client.feed.items
        client.feed.items = []
        await client.feed.cache.forget([post_key(gone.post_id)])
        await client.after(0.6)
        assert client.changes[1:] == [Change([], [gone.post_id])]


async def test_a_look_finds_nothing_in_memory_that_was_older_than_the_change() -> None:
    async with a_quiet_client() as client:
        client.feed.dropped.clear()
        key = post_key(ITEMS[0].post_id)
        await client.feed.cache.forget([key])
        await client.after(0.6)
        assert client.feed.dropped == {key}


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


async def test_a_change_without_a_mark_is_found_within_seconds() -> None:
    async with a_quiet_client() as client:
        client.feed.items = [ITEMS[1], *client.feed.items]
        await client.after(AT_LEAST_EVERY_S)
        assert client.changes[1:] == [Change([ITEMS[1]], [])]


async def test_a_storm_of_changes_costs_three_looks_a_second() -> None:
    async with a_quiet_client() as client:
        reads = client.feed.reads
        for _ in range(50):
            await client.feed.cache.push([b"1"], ["alice"])
            await client.after(0.1)
        assert 10 <= client.feed.reads - reads <= 16


async def test_other_users_likes_wait_and_one_s_own_do_not() -> None:
    async with a_quiet_client() as client:
        await client.after(1)
        count = like_count_key(ITEMS[0].post_id.int)
        reads = client.feed.reads
        looked_at_s = client.stream.looked_at_s
        await client.feed.cache.forget([count])
        await client.after(looked_at_s + COUNTS_S - client.feed.clock.monotonic_s() - 0.2)
        assert client.feed.reads == reads
        await client.after(0.5)
        assert client.feed.reads == reads + 1
        await client.after(1)
        await client.feed.cache.forget([recent_likes_key("alice")])
        await client.after(0.4)
        assert client.feed.reads == reads + 2


async def test_what_is_evicted_is_read_and_filled_again() -> None:
    async with a_quiet_client() as client:
        evicted = [key for key in client.feed.cache.asked if not key.startswith("like_count")]
        await client.feed.cache.forget(evicted)
        await client.after(QUIET_S)
        reads = client.feed.reads
        assert 2 < reads <= 5
        await client.after(5)
        assert client.feed.reads == reads


async def test_what_is_not_in_the_cache_is_looked_at_twice_a_second() -> None:
    async with a_client(Feed(fills=False)) as client:
        await client.after(10)
        assert 15 <= client.feed.reads <= 22
        client.feed.items = [ITEMS[1], *client.feed.items]
        await client.after(0.7)
        assert client.changes[1:] == [Change([ITEMS[1]], [])]


@pytest.mark.parametrize("cache", ["off", "empty"])
async def test_all_streams_without_marks_make_a_hundred_looks_a_second(cache: str) -> None:
    feed = Feed(fills=False)
    if cache == "off":
        feed.cache.epoch.known = None
    streams = 400
    async with streams_of_different_users(feed, streams):
        await feed.pass_time(2, turns=30)
        reads, feed.most_reading = feed.reads, 0
        await feed.pass_time(12, turns=30)
        assert (feed.reads - reads) / 12 == pytest.approx(UNMARKED_LOOKS, rel=0.15)
        assert feed.most_reading == IN_VAIN_AT_ONCE, "a change would be looked at between them"


async def test_what_many_streams_watch_is_asked_once_and_few_look_at_a_time() -> None:
    feed = Feed()
    streams = 3 * LOOKS_AT_ONCE
    async with streams_of_different_users(feed, streams):
        await feed.pass_time(3, turns=300)
        feed.cache.asked.clear()
        reads, feed.most_reading = feed.reads, 0
        await feed.cache.forget(["pulled:star"])
        await feed.pass_time(1, turns=300)
        assert feed.cache.asked["pulled:star"] == 5, "five times a second"
        assert feed.cache.asked[post_key(ITEMS[0].post_id)] == 2
        assert feed.reads == reads + 2 * streams, (
            "one when it was forgotten, one when it was filled"
        )
        assert feed.most_reading == LOOKS_AT_ONCE


async def test_stream_slots_are_bounded_and_released() -> None:
    feed = Feed()
    live = feed.live()
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
    live = Feed().live(most=10, per_user=2)
    with live.opened("alice"), live.opened("alice"):
        with pytest.raises(TooManyOfYours) as refused, live.opened("alice"):
            pass
        assert refused.value.status == 429
        assert "Retry-After" in refused.value.headers
        with live.opened("bob"):
            pass
    with live.opened("alice"):
        pass


# --- what is watched ----------------------------------------------------------------------------


def watching(*sources: str) -> Watched:
    return Watched(frozenset(sources), frozenset(), frozenset())


def test_a_change_concerns_the_feeds_that_watch_its_key() -> None:
    index, alice, bob = Watching(), LiveFeed("alice"), LiveFeed("bob")
    index.watch(alice, watching("graph:alice", "pulled:star"))
    index.watch(bob, watching("graph:bob", "pulled:star"))
    keys = index.sources()
    assert sorted(keys) == ["graph:alice", "graph:bob", "pulled:star"]
    first = index.compare(keys, [b"1"] * 3)
    assert first.feeds == {alice, bob}, "the first mark may be that of a missed change"
    assert index.compare(keys, [b"1"] * 3) == (set(), set(), set(), set())
    assert index.compare(["graph:bob"], [b"2"]) == ({"graph:bob"}, {bob}, set(), set())
    assert index.compare(["pulled:star"], [b""]) == ({"pulled:star"}, {alice, bob}, set(), {alice, bob})  # fmt: skip
    index.watch(alice, watching("graph:alice"))
    assert index.compare(["pulled:star"], [b"2"]).feeds == {bob}
    index.unwatch(alice)
    index.unwatch(bob)
    assert index.sources() == []
    assert index.compare(keys, [b"9"] * 3) == (set(), set(), set(), set())


def test_a_key_that_has_changed_since_a_look_began_is_looked_at_again() -> None:
    index, early, late = Watching(), LiveFeed("alice"), LiveFeed("bob")
    index.watch(early, watching("pulled:star"))
    index.compare(["pulled:star"], [b"1"])
    late.looked_after = index.comparisons
    assert not index.watch(late, watching("pulled:star"))
    index.unwatch(late)
    index.compare(["pulled:star"], [b"2"])
    assert index.watch(late, watching("pulled:star")), (
        "its look may have read what was there before"
    )


async def test_streams_that_open_together_do_not_go_on_looking_together() -> None:
    feed = Feed()
    streams = 50
    async with streams_of_different_users(feed, streams):
        most = 0
        for tenth in range(600):
            before = feed.reads
            await feed.pass_time(0.1, turns=30)
            if tenth > 400:
                most = max(most, feed.reads - before)
        assert most < streams / 5
