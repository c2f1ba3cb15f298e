"""A feed's world: events and the worker's projections of them, and one process's read side over it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx2

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.shared_cache import MemoryCacheServer, MemorySharedCache
from fanfold.adapters.telling_stores import telling
from fanfold.core.delivery import Delivery
from fanfold.core.errors import Unavailable
from fanfold.core.events import (
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    UserBlocked,
    UserFollowed,
    UserMuted,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    encode,
    from_ms,
)
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports import FollowerEdge, Pointer, Stores
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import Position, Record
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from fanfold.http.after_writes import AfterWrites
from fanfold.http.app import make_app
from fanfold.http.identity.tickets import TicketDesk
from feed_service import http as feed
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.celebrities import Celebrities
from feed_service.caches.recent_likes import LISTED
from feed_service.caches.shared_reads import SharedReads
from feed_service.feed_reader import FeedReader
from feed_service.live.live_feeds import LiveFeeds
from feed_service.presence import Presence
from feed_service.query.cursor import Ranking
from feed_service.query.feeds import Feeds
from feed_service.query.items import FeedItem, FeedPage
from feed_service.query.read_posts import ReadPosts
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import add_pulled, write_edges

BUDGET_S = 5.0


class FaultyStore:
    """A store whose calls can fail, hang or pause, and are counted."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.away: set[str] = set()
        self.hanging: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._pauses_after: dict[str, asyncio.Event] = {}
        self._pauses_before: dict[str, asyncio.Event] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if name in self.away:
                raise Unavailable(f"{name} is away")
            if name in self.hanging:
                await asyncio.Event().wait()
            if (before := self._pauses_before.get(name)) is not None:
                self._reached[name].set()
                await before.wait()
            answer = await method(*args, **kwargs)
            if (after := self._pauses_after.get(name)) is not None:
                self._reached[name].set()
                await after.wait()
            return answer

        return call

    async def until_paused(self, name: str) -> None:
        """Return once a call is paused."""
        await self._reached[name].wait()

    def pause_before(self, name: str) -> Callable[[], None]:
        """Pause calls before they read, until the returned function is called."""
        self._reached[name].clear()
        released = self._pauses_before[name] = asyncio.Event()

        def release() -> None:
            self._pauses_before.pop(name, None)
            released.set()

        return release

    def pause_after(self, name: str) -> Callable[[], None]:
        """Pause calls after they have read, until the returned function is called."""
        self._reached[name].clear()
        released = self._pauses_after[name] = asyncio.Event()

        def release() -> None:
            self._pauses_after.pop(name, None)
            released.set()

        return release


class Graph:
    """The ports of users, follows and ties as one, because a viewer graph is read from all of them."""

    def __init__(self, stores: Stores) -> None:
        self._ports = (stores.users, stores.follows, stores.ties)

    def __getattr__(self, name: str) -> Any:
        return next(getattr(port, name) for port in self._ports if hasattr(port, name))


@dataclass(frozen=True)
class Change:
    """An event at its offset, and the worker's projection of it."""

    event: Event
    offset: int
    project: Callable[[], Awaitable[None]]


@dataclass
class World:
    """One log's changes. A change *happens*: the tables show it.

    `cached`: the tables' writer tells a shared cache, through which the readers read; `telling` can be away for it alone.
    """

    settings: Settings = field(default_factory=Settings)
    clock: ManualClock = field(default_factory=ManualClock)
    celebrities: set[str] = field(default_factory=set)
    offset: int = 0
    cached: bool = False
    cache: SharedCache = field(default_factory=NoSharedCache)

    def __post_init__(self) -> None:
        memory = memory_stores(self.settings, clock=self.clock)
        self.posts, self.graph = FaultyStore(memory.posts), FaultyStore(Graph(memory))
        self.timelines, self.likes = FaultyStore(memory.timelines), FaultyStore(memory.likes)
        self.activity = FaultyStore(memory.activity)
        self.pulled_authors = FaultyStore(memory.pulled_authors)
        self.stores = replace(
            memory,
            posts=self.posts,
            users=self.graph,
            follows=self.graph,
            ties=self.graph,
            timelines=self.timelines,
            pulled_authors=self.pulled_authors,
            likes=self.likes,
            activity=self.activity,
            ping=self._ping,
        )
        self.cache_server = MemoryCacheServer()
        self.cache_epoch = CacheEpoch(memory.cache_switch, clock=self.clock)
        if self.cached:
            self.cache = MemorySharedCache(
                self.settings, clock=self.clock, epoch=self.cache_epoch, server=self.cache_server
            )
        self.telling = FaultyStore(self.cache)
        if self.cached:
            told: Any = self.telling
            self.stores = telling(self.stores, told, writer_id="worker", clock=self.clock)
        self.followers: dict[str, dict[str, FollowerEdge]] = {}

    async def _ping(self) -> None:
        if "ping" in self.posts.away:
            raise Unavailable("ping is away")

    async def happen(self, change: Change) -> None:
        await change.project()

    # Posts.

    def a_post(
        self, by: str, *, content: str = "hello", ago_s: float = 0, strategy: str | None = ""
    ) -> Change:
        """A post so many seconds ago; pulled if by a celebrity. `strategy`: push, pull, both, or None (not planned)."""
        post_id = new_post_id(self.clock.now_ms() - int(ago_s * 1000))
        chosen = strategy if strategy != "" else ("pull" if by in self.celebrities else "push")
        offset = self._next_offset()

        async def project() -> None:
            await self.stores.posts.create(post_id, by, content)
            if chosen is None:
                return
            delivery: Delivery = "pull" if chosen == "pull" else "push"
            await self.stores.posts.set_delivery(by, post_id, delivery, offset=offset)
            if chosen in ("pull", "both"):
                await self.add_pulled(Pointer(post_id, by))
            if chosen in ("push", "both"):
                edges = self.followers.get(by, {}).values()
                readers = [edge.follower_id for edge in edges if edge.active]
                await self.stores.timelines.push([Pointer(post_id, by)], readers)

        created_at = from_ms(created_at_ms(post_id))
        event = PostCreated(post_id=post_id, author_id=by, content=content, created_at=created_at)
        return Change(event, offset, project)

    async def add_pulled(self, pointer: Pointer) -> None:
        retention_ms = self.settings.retention_ms
        await add_pulled(self.stores, pointer, clock=self.clock, retention_ms=retention_ms)

    async def post(self, by: str, **how: Any) -> UUID:
        change = self.a_post(by, **how)
        await self.happen(change)
        assert isinstance(change.event, PostCreated)
        return change.event.post_id

    def an_edit(self, post_id: UUID, content: str, *, by: str = "bob") -> Change:
        offset, now_ms = self._next_offset(), self.clock.now_ms()

        async def project() -> None:
            await self.stores.posts.edit(post_id, content, edited_at_ms=now_ms, offset=offset)

        event = PostEdited(
            post_id=post_id, author_id=by, content=content, edited_at=from_ms(now_ms)
        )
        return Change(event, offset, project)

    def a_deletion(self, post_id: UUID, *, by: str = "bob") -> Change:
        offset = self._next_offset()

        async def project() -> None:
            await self.stores.posts.delete(post_id, offset=offset)

        deleted_at = from_ms(self.clock.now_ms())
        return Change(
            PostDeleted(post_id=post_id, author_id=by, deleted_at=deleted_at), offset, project
        )

    # The graph.

    def a_name(self, user_id: str, display_name: str, avatar_url: str | None = None) -> Change:
        offset = self._next_offset()

        async def project() -> None:
            await self.stores.users.register(
                user_id,
                display_name,
                avatar_url=avatar_url,
                registered_at_ms=START_MS,
                offset=offset,
            )

        event = UserRegistered(
            user_id=user_id,
            display_name=display_name,
            registered_at=from_ms(self.clock.now_ms()),
            avatar_url=avatar_url,
        )
        return Change(event, offset, project)

    def a_follow(self, follower: str, followee: str, *, backfilled: bool = True) -> Change:
        """A follow, whose backfill has finished or is still to come."""
        offset, now_ms = self._next_offset(), self.clock.now_ms()

        async def project() -> None:
            edge = FollowerEdge(follower, 0, True, now_ms, offset, offset)
            await self._write_edge(followee, edge)
            if backfilled:
                await self.backfill(follower, followee)

        event = UserFollowed(
            follower_id=follower, followee_id=followee, followed_at=from_ms(now_ms)
        )
        return Change(event, offset, project)

    def an_unfollow(self, follower: str, followee: str) -> Change:
        offset, now_ms = self._next_offset(), self.clock.now_ms()

        async def project() -> None:
            await self._write_edge(
                followee, FollowerEdge(follower, 0, False, now_ms, offset, offset)
            )

        event = UserUnfollowed(
            follower_id=follower, followee_id=followee, unfollowed_at=from_ms(now_ms)
        )
        return Change(event, offset, project)

    def a_tie(self, kind: str, user_id: str, target_id: str) -> Change:
        """A mute, an unmute, a block or an unblock."""
        offset, now_ms = self._next_offset(), self.clock.now_ms()
        kinds: dict[str, tuple[type[Any], str]] = {
            "mute": (UserMuted, "muted_at"),
            "unmute": (UserUnmuted, "unmuted_at"),
            "block": (UserBlocked, "blocked_at"),
            "unblock": (UserUnblocked, "unblocked_at"),
        }
        event, time = kinds[kind]
        write = (
            self.stores.ties.write_mute if kind.endswith("mute") else self.stores.ties.write_block
        )

        async def project() -> None:
            active = not kind.startswith("un")
            await write(user_id, target_id, active=active, since_ms=now_ms, offset=offset)

        times = {time: from_ms(now_ms)}
        return Change(event(user_id=user_id, target_id=target_id, **times), offset, project)

    async def follow(self, follower: str, *followees: str, backfilled: bool = True) -> None:
        for followee in followees:
            await self.happen(self.a_follow(follower, followee, backfilled=backfilled))

    async def backfill(self, follower: str, followee: str) -> None:
        """Push the followee's posts, and mark the follow as materialised."""
        posts = await self.stores.posts.by_author(followee, before=None, since_ms=0, limit=10_000)
        pushed = [Pointer(post_id, followee) for post_id, delivery in posts if delivery != "pull"]
        await self.stores.timelines.push(pushed, [follower])
        edge = self.followers[followee][follower]
        await self.stores.follows.mark_materialised(followee, [(follower, edge.follow_offset)])

    async def _write_edge(self, followee: str, edge: FollowerEdge) -> None:
        self.followers.setdefault(followee, {})[edge.follower_id] = edge
        await write_edges(self.stores, followee, [edge])

    def _next_offset(self) -> int:
        self.offset += 1
        return self.offset


@dataclass
class Records:
    """A log of single records that a test has put there."""

    records: dict[Position, Record] = field(default_factory=dict)
    away: bool = False
    appended: list[Event] = field(default_factory=list)

    async def append(self, event: Event) -> None:
        if self.away:
            raise Unavailable("away")
        self.appended.append(event)

    async def read(self, position: Position) -> Record | None:
        if self.away:
            raise Unavailable("away")
        return self.records.get(position)

    def keep(self, event: Event, offset: int) -> Position:
        topic, key, value, headers = encode(event, source="test", now_ms=0)
        position = Position(topic, 0, offset)
        self.records[position] = Record(topic, 0, offset, key, value, dict(headers), 0)
        return position


class Reader:
    """One process's read side over a world. `kept_s`: how long it remembers what many readers share; most tests change that."""

    def __init__(
        self,
        world: World,
        *,
        budget_s: float = BUDGET_S,
        listed_likes: int = LISTED,
        kept_s: float = 0,
    ) -> None:
        settings, clock, stores = world.settings, world.clock, world.stores
        self.log = Records()
        shared = SharedReads(
            stores=stores,
            cache=world.cache,
            retention_ms=settings.retention_ms,
            clock=clock,
            budget_s=budget_s,
            listed_likes=listed_likes,
        )
        celebrities = Celebrities(
            stores.pulled_authors, shared, settings=settings, clock=clock, budget_s=budget_s
        )
        self.reads = CachedReads(shared, celebrities, settings=settings, clock=clock, kept_s=kept_s)
        self.presence = Presence(self.log, stores.activity, clock=clock)  # type: ignore[arg-type]
        self.feeds = Feeds(self.reads, presence=self.presence, settings=settings, clock=clock)
        self.read_posts = ReadPosts(stores, self.reads, budget_s=budget_s)
        self.live = LiveFeeds(
            self.feeds.newest,
            cache=world.cache,
            drop=self.reads.drop,
            clock=clock,
            settings=Settings(live_feeds=4, live_feeds_per_user=5),
        )
        self.after_writes = AfterWrites(self.log, stores, clock)  # type: ignore[arg-type]

    async def page(
        self,
        viewer: str,
        *,
        ranking: Ranking = "chronological",
        limit: int = 10,
        cursor: str | None = None,
    ) -> tuple[FeedPage, list[str]]:
        page, missing = await self.feeds.page(viewer, ranking=ranking, limit=limit, cursor=cursor)
        return page, list(missing)

    async def whole(
        self, viewer: str, *, ranking: Ranking = "chronological", limits: Sequence[int] = (10,)
    ) -> list[FeedItem]:
        """The whole feed, page by page; `limits` are used in turn. Every page but the last is full."""
        items: list[FeedItem] = []
        cursor, turn = None, 0
        while True:
            limit = limits[turn % len(limits)]
            page, missing = await self.page(viewer, ranking=ranking, limit=limit, cursor=cursor)
            assert (page.complete, missing) == (True, [])
            items += page.items
            if page.next_cursor is None:
                assert page.items or cursor is None, "an empty page that isn't the first"
                return items
            assert len(page.items) == limit, "a page that isn't full and isn't the last"
            cursor, turn = page.next_cursor, turn + 1

    async def ids(self, viewer: str, **how: Any) -> list[UUID]:
        return [item.post_id for item in await self.whole(viewer, **how)]


@asynccontextmanager
async def a_reader(world: World, **how: Any) -> AsyncIterator[Reader]:
    reader = Reader(world, **how)
    try:
        yield reader
    finally:
        await reader.presence.close()
        await reader.reads.close()


@asynccontextmanager
async def a_feed_client(world: World, reader: Reader) -> AsyncIterator[httpx2.AsyncClient]:
    """HTTP in front of a reader."""
    engines = Engines(None, world.stores)  # type: ignore[arg-type]

    opened = FeedReader(
        reader.feeds,
        reader.read_posts,
        reader.after_writes,
        reader.live,
        TicketDesk(world.stores.tickets, world.clock),
    )
    app = make_app(title="feeds", routers=feed.routers(opened), ready=feed.ready(engines))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
