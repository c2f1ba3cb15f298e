"""The tables as all feed processes read them: through the shared cache, which a read from the tables then fills.

A value is as new as the tables were when the read began, except for writes that the worker has not told the cache yet: see
`fanfold.core.ports.shared_cache`. A value that can't be unpacked is read from the tables. While the tables are away, what is cached is
still found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from uuid import UUID

from fanfold.core.cache_keys import (
    authored_key,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
    recent_likes_key,
)
from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.ports import AuthoredPost, Counted, Post, Stores
from fanfold.core.ports.shared_cache import Lease, SharedCache
from fanfold.http.post_resource import Author
from feed_service.budget import each_within, within
from feed_service.caches import packing
from feed_service.caches.cache import Incomplete
from feed_service.caches.cached_timeline import read_timeline
from feed_service.caches.recent_likes import LISTED, RecentLikes
from feed_service.caches.viewer_graph import ViewerGraph, read_viewer_graph
from feed_service.candidates import Candidate, Page

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

OWN_POSTS = 20
"""Newest posts kept of an author. More of them are rarely on one page."""

HEAD_POSTS = 50
"""Newest posts kept of each celebrity, so that a first page of the feed rarely needs more than one query to go on."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[K, V]):
    """What is cached under one kind of key, and its form."""

    key: Callable[[K], str]
    pack: Callable[[V], bytes]
    unpack: Callable[[bytes], V]


_ALL_HELD = {bytes}

_AUTHORED = Kind(authored_key, packing.pack_authored, packing.unpack_authored)
_NAMES = Kind(name_key, packing.pack_name, packing.unpack_name)
_GRAPHS = Kind(graph_key, packing.pack_graph, packing.unpack_graph)
_LIKES = Kind(recent_likes_key, packing.pack_recent_likes, packing.unpack_recent_likes)
_COUNTED = Kind(like_count_key, packing.pack_counted, packing.unpack_counted)
_PULLED = Kind(pulled_key, packing.pack_pulled, packing.unpack_pulled)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedReads:
    """Raises `Unavailable` when the tables are needed and don't answer within the budget. The cache alone raises nothing.

    `passed_by`: keys that are read from the tables, because what is cached of them may be older than what the caller has to see.
    `asked`: what the cache has answered already, for the one read of each key that follows.
    """

    stores: Stores
    cache: SharedCache
    retention_ms: int
    clock: Clock
    budget_s: float
    listed_likes: int = LISTED
    passed_by: frozenset[str] = frozenset()
    asked: dict[str, bytes | Lease | None] = field(default_factory=dict)

    async def of_viewer(self, user_id: str) -> SharedReads:
        """The same for one feed: the cache is asked at once for what only its viewer reads, but for the timeline."""
        if not self.cache.usable():
            return self
        keys = [graph_key(user_id), authored_key(user_id), recent_likes_key(user_id)]
        return replace(self, asked=dict(zip(keys, await self._look_up(keys), strict=True)))

    @property
    def all_asked_held(self) -> bool:
        """Whether something was asked, and all of what is still unread of it was found."""
        return bool(self.asked) and set(map(type, self.asked.values())) == _ALL_HELD

    async def viewer_graph(self, user_id: str) -> ViewerGraph:
        """A viewer's graph."""

        async def load(_: Collection[str]) -> dict[str, ViewerGraph]:
            return {user_id: await self._within(read_viewer_graph(user_id, stores=self.stores))}

        return (await self._read(_GRAPHS, [user_id], load))[user_id]

    async def names(self, user_ids: Collection[str]) -> dict[str, Author | None]:
        """Each user as an author to show; None for users who have left."""

        async def load(missing: Collection[str]) -> dict[str, Author | None]:
            users = await self._within(self.stores.users.get_many(missing))
            return {
                user_id: None if user.left else Author.of(user) for user_id, user in users.items()
            }

        return await self._read(_NAMES, user_ids, load)

    async def recent_likes(self, user_id: str) -> RecentLikes:
        """A viewer's last likes, as many as are listed."""
        listed = self.listed_likes

        async def load(_: Collection[str]) -> dict[str, RecentLikes]:
            likes = await self._within(self.stores.likes.recent(user_id, limit=listed))
            return {user_id: RecentLikes.of(likes, listed=listed)}

        return (await self._read(_LIKES, [user_id], load))[user_id]

    async def liked(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        """Which of these posts a user likes, from the tables."""
        return await self._within(self.stores.likes.of_user(user_id, post_ids))

    async def authored(self, author_ids: Collection[str]) -> dict[str, Page]:
        """The newest posts of authors within the retention window; an author who is unavailable is absent."""
        since_ms = self.clock.now_ms() - self.retention_ms

        async def load(missing: Collection[str]) -> dict[str, list[AuthoredPost]]:
            return await each_within(
                self.budget_s,
                missing,
                lambda author_id: self._authored(author_id, before=None, since_ms=since_ms),
            )

        pages = await self._read(_AUTHORED, author_ids, load)
        return {author_id: _authored_page(author_id, page) for author_id, page in pages.items()}

    async def authored_page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The author's posts that follow a post, from the tables."""
        asked = self._authored(author_id, before=before, since_ms=since_ms)
        return _authored_page(author_id, await self._within(asked))

    async def _authored(
        self, author_id: str, *, before: UUID | None, since_ms: int
    ) -> list[AuthoredPost]:
        return await self.stores.posts.by_author(
            author_id, before=before, since_ms=since_ms, limit=OWN_POSTS
        )

    async def pulled(self, author_ids: Collection[str]) -> dict[str, list[int]]:
        """The newest pulled posts of authors, by the integers in their ids; an author who is unavailable is absent."""
        since_ms = self.clock.now_ms() - self.retention_ms

        async def load(missing: Collection[str]) -> dict[str, list[int]]:
            return await each_within(
                self.budget_s,
                missing,
                lambda author_id: self.pulled_page(author_id, before=None, since_ms=since_ms),
            )

        return await self._read(_PULLED, author_ids, load)

    async def pulled_page(self, author_id: str, *, before: UUID | None, since_ms: int) -> list[int]:
        """The pulled posts of an author that follow a post, from the tables: the integers in their ids."""
        post_ids = await self.stores.timelines.pulled(
            author_id, before=before, since_ms=since_ms, limit=HEAD_POSTS
        )
        return [post_id.int for post_id in post_ids]

    async def counted(self, numbers: Collection[int]) -> dict[int, Counted]:
        """What ranking needs of the posts that exist, by the integers in their ids."""

        async def load(missing: Collection[int]) -> dict[int, Counted]:
            asked = self.stores.posts.counted([UUID(int=number) for number in missing])
            found = await self._within(asked)
            return {post_id.int: counted for post_id, counted in found.items()}

        return await self._read(_COUNTED, numbers, load)

    async def posts(self, numbers: Collection[int]) -> dict[int, Post]:
        """The posts that exist, by the integers in their ids: content and count, each under a key of its own."""
        posts: dict[int, Post] = {}
        leases: dict[int, tuple[bytes | Lease | None, bytes | Lease | None]] = {}
        if self.cache.usable():
            content_keys = [post_key(UUID(int=number)) for number in numbers]
            held = await self._look_up([*content_keys, *map(like_count_key, numbers)])
            for number, content, count in zip(numbers, held, held[len(numbers) :], strict=False):
                if isinstance(content, bytes) and isinstance(count, bytes):
                    with suppress(*packing.UNREADABLE):
                        posts[number] = packing.unpack_post(number, content, count)
                        continue
                leases[number] = content, count
        if len(posts) < len(numbers):
            missing = [UUID(int=number) for number in numbers if number not in posts]
            try:
                loaded = await self._within(self.stores.posts.get(missing))
            except Transient as error:
                raise Incomplete(posts) from error
            found = {post_id.int: post for post_id, post in loaded.items()}
            posts.update(found)
            if filled := _post_fills(found, leases):
                await self.cache.fill(filled)
        return posts

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> Page:
        """The part of a timeline that follows a post."""
        asked = read_timeline(
            user_id,
            cache=self.cache,
            timelines=self.stores.timelines,
            before=before,
            since_ms=since_ms,
            limit=limit,
        )
        return await self._within(asked)

    async def _look_up(self, keys: Sequence[str]) -> list[bytes | Lease | None]:
        """As the cache's, but nothing of the keys that are passed by, and a single key that was asked is not asked again."""
        if len(keys) == 1 and keys[0] in self.asked:
            return [self.asked.pop(keys[0])]
        if self.passed_by.isdisjoint(keys):
            return await self.cache.look_up(keys)
        asked = [key for key in keys if key not in self.passed_by]
        held = iter(await self.cache.look_up(asked))
        return [None if key in self.passed_by else next(held) for key in keys]

    async def _within(self, asked: Awaitable[T]) -> T:
        return await within(self.budget_s, asked)

    async def _read(
        self,
        kind: Kind[K, V],
        ids: Collection[K],
        load: Callable[[Collection[K]], Awaitable[Mapping[K, V]]],
    ) -> dict[K, V]:
        found: dict[K, V] = {}
        leases: dict[K, Lease] = {}
        if self.asked or self.cache.usable():
            held = await self._look_up([*map(kind.key, ids)])
            if set(map(type, held)) <= _ALL_HELD:
                with suppress(*packing.UNREADABLE):
                    # At once, because it runs for every candidate of every page.
                    return dict(zip(ids, map(kind.unpack, held), strict=True))  # type: ignore[arg-type]
            for key, value in zip(ids, held, strict=True):
                if isinstance(value, bytes):
                    with suppress(*packing.UNREADABLE):
                        found[key] = kind.unpack(value)
                elif value is not None:
                    leases[key] = value
        if len(found) < len(ids):
            try:
                loaded = await load([key for key in ids if key not in found])
            except Transient as error:
                raise Incomplete(found) from error
            found.update(loaded)
            filled = [
                (lease, kind.pack(loaded[key])) for key, lease in leases.items() if key in loaded
            ]
            if filled:
                await self.cache.fill(filled)
        return found


def _post_fills(
    loaded: Mapping[int, Post], leases: Mapping[int, tuple[bytes | Lease | None, ...]]
) -> list[tuple[Lease, bytes]]:
    filled: list[tuple[Lease, bytes]] = []
    for number, (content, count) in leases.items():
        if (post := loaded.get(number)) is None:
            continue
        if isinstance(content, Lease):
            filled.append((content, packing.pack_content(post)))
        if isinstance(count, Lease):
            filled.append((count, packing.pack_counted(Counted(post.like_count, post.deleted))))
    return filled


def _authored_page(author_id: str, pointers: Sequence[AuthoredPost]) -> Page:
    found = [
        Candidate(-post_id.int, author_id, delivery or "push") for post_id, delivery in pointers
    ]
    return Page(found, more=len(found) == OWN_POSTS)
