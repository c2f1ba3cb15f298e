"""The tables as all feed processes read them: through the shared cache, which a read from the tables then fills.

A value is at most as old as the tables were when the read began, less what the worker has written and not yet told the cache: see
`fanfold.core.ports.shared_cache`. A value that can't be unpacked is read from the tables.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from fanfold.core.cache_keys import (
    authored_key,
    entry_author,
    entry_number,
    feed_entry,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
    recent_likes_key,
)
from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.events import Event
from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import AuthoredPost, Post, Stores
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from fanfold.core.settings import Settings
from feed_service.budget import each_within
from feed_service.caches import packing
from feed_service.caches.changed_keys import changed_keys
from feed_service.caches.recent_likes import RecentLikes
from feed_service.caches.viewer_graph import ReadRows, ViewerGraph, read_viewer_graph
from feed_service.candidates import Candidate, Page

K = TypeVar("K")
V = TypeVar("V")

OWN_POSTS = 20
"""Newest posts kept of an author. More of them are rarely on one page."""

HEAD_POSTS = 50
"""Newest posts kept of each celebrity, so that a first page of the feed rarely needs more than one query to go on."""

_MOST_LOOKED_UP = 20  # old likes, liked again; recent likes with more of them are not cached
_UNREADABLE = (ValueError, TypeError, OverflowError, AttributeError)


@dataclass(frozen=True, slots=True)
class Kind(Generic[K, V]):
    """What is cached under one kind of key, and its form."""

    key: Callable[[K], str]
    pack: Callable[[V], bytes]
    unpack: Callable[[K, bytes], V]


_AUTHORED = Kind(authored_key, packing.pack_authored, packing.unpack_authored)
_NAMES = Kind(name_key, packing.pack_name, packing.unpack_name)
_GRAPHS = Kind(graph_key, packing.pack_graph, packing.unpack_graph)
_LIKES = Kind(recent_likes_key, packing.pack_recent_likes, packing.unpack_recent_likes)
_PULLED = Kind(pulled_key, packing.pack_pulled, packing.unpack_pulled)


class SharedReads:
    """Raises `Unavailable` when the tables are needed and don't answer. The cache alone raises nothing."""

    def __init__(
        self,
        stores: Stores,
        cache: SharedCache,
        *,
        settings: Settings,
        clock: Clock,
        budget_s: float,
    ) -> None:
        self._stores = stores
        self._cache = cache
        self._clock = clock
        self._retention_ms = settings.retention_ms
        self._budget_s = budget_s

    async def viewer_graph(
        self, user_id: str, *, from_tables: bool
    ) -> tuple[ViewerGraph, ReadRows | None]:
        """A viewer's graph, and the rows that it was made of if it was read from the tables."""
        read: ReadRows | None = None

        async def load(_: Collection[str]) -> dict[str, ViewerGraph]:
            nonlocal read
            graph, read = await read_viewer_graph(user_id, stores=self._stores)
            return {user_id: graph}

        graphs = await self._read(_GRAPHS, [user_id], load, from_tables=from_tables)
        return graphs[user_id], read

    async def names(self, user_ids: Collection[str]) -> dict[str, tuple[str | None, bool]]:
        """Of each user the display name, None without one, and whether the user has left."""

        async def load(missing: Collection[str]) -> dict[str, tuple[str | None, bool]]:
            users = await self._stores.users.get_many(missing)
            return {user_id: (user.display_name, user.left) for user_id, user in users.items()}

        return await self._read(_NAMES, user_ids, load)

    async def recent_likes(self, user_id: str, *, listed: int, from_tables: bool) -> RecentLikes:
        """A viewer's last likes, as many as are listed."""

        async def load(_: Collection[str]) -> dict[str, RecentLikes]:
            likes = await self._stores.likes.recent(user_id, limit=listed)
            return {user_id: RecentLikes.of(likes, listed=listed)}

        return (await self._read(_LIKES, [user_id], load, from_tables=from_tables))[user_id]

    async def like_offsets(self, user_id: str, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """The offsets of a user's likes of these posts, from the tables; none of them if they are many."""
        if len(post_ids) > _MOST_LOOKED_UP:
            return {}
        likes = self._stores.likes
        found = await asyncio.gather(*(likes.of_post(post_id, [user_id]) for post_id in post_ids))
        return {like.post_id: like.offset for by_user in found for like in by_user.values()}

    async def authored(
        self, author_ids: Collection[str], *, from_tables: bool = False
    ) -> dict[str, list[AuthoredPost]]:
        """The newest posts of authors within the retention window; an author who is unavailable is absent."""
        since_ms = self._clock.now_ms() - self._retention_ms

        async def load(missing: Collection[str]) -> dict[str, list[AuthoredPost]]:
            return await each_within(
                self._budget_s,
                missing,
                lambda author_id: self.authored_page(author_id, before=None, since_ms=since_ms),
            )

        return await self._read(_AUTHORED, author_ids, load, from_tables=from_tables)

    async def authored_page(
        self, author_id: str, *, before: UUID | None, since_ms: int
    ) -> list[AuthoredPost]:
        """The author's posts that follow a post, from the tables."""
        return await self._stores.posts.by_author(
            author_id, before=before, since_ms=since_ms, limit=OWN_POSTS
        )

    async def pulled(self, versions: Mapping[str, int]) -> dict[str, list[UUID]]:
        """The newest pulled posts of authors, of at least these versions; an author who is unavailable is absent."""
        since_ms = self._clock.now_ms() - self._retention_ms

        async def load(missing: Collection[str]) -> dict[str, tuple[int, list[UUID]]]:
            pages = await each_within(
                self._budget_s,
                missing,
                lambda author_id: self.pulled_page(author_id, before=None, since_ms=since_ms),
            )
            return {author_id: (versions[author_id], page) for author_id, page in pages.items()}

        found = await self._read(_PULLED, versions, load)
        # The worker raises the version before it tells the cache, so what is cached may be older than what is wanted.
        old = [
            author_id for author_id, (version, _) in found.items() if version < versions[author_id]
        ]
        for author_id in old:
            del found[author_id]
        if old:
            found.update(await load(old))
        return {author_id: page for author_id, (_, page) in found.items()}

    async def pulled_page(
        self, author_id: str, *, before: UUID | None, since_ms: int
    ) -> list[UUID]:
        """The pulled posts of an author that follow a post, from the tables."""
        return await self._stores.timelines.pulled(
            author_id, before=before, since_ms=since_ms, limit=HEAD_POSTS
        )

    async def posts(self, numbers: Collection[int]) -> dict[int, Post]:
        """The posts that exist, by the integers in their ids: content and count, each under a key of its own."""
        ids = [UUID(int=number) for number in numbers]
        if not self._cache.usable():
            found = await self._stores.posts.get(ids)
            return {post_id.int: post for post_id, post in found.items()}
        held = await self._cache.look_up(
            [post_key(i) for i in ids] + [like_count_key(i) for i in ids]
        )
        posts: dict[int, Post] = {}
        missing: dict[UUID, tuple[bytes | Lease | None, bytes | Lease | None]] = {}
        for post_id, content, count in zip(ids, held, held[len(ids) :], strict=False):
            if isinstance(content, bytes) and isinstance(count, bytes):
                try:
                    posts[post_id.int] = packing.unpack_post(post_id, content, count)
                    continue
                except _UNREADABLE:
                    pass
            missing[post_id] = content, count
        if missing:
            loaded = await self._stores.posts.get(missing)
            posts.update((post_id.int, post) for post_id, post in loaded.items())
            filled: list[tuple[Lease, bytes]] = []
            for post_id, post in loaded.items():
                content, count = missing[post_id]
                if isinstance(content, Lease):
                    filled.append((content, packing.pack_content(post)))
                if isinstance(count, Lease):
                    filled.append((count, packing.pack_like_count(post)))
            await self._cache.fill(filled)
        return posts

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> Page:
        """The part of a timeline that follows a post."""
        held = await self._cache.feed(user_id)
        if isinstance(held, FeedList) and len(held.end) not in (0, 16):
            held = None  # its end can't be read
        oldest = first_post_id_at(max(0, since_ms)).bytes
        if isinstance(held, FeedList):
            entries = _newest_first(held, before, oldest)
            if entries or held.end <= oldest:
                return _page(entries[:limit], more=len(entries) > limit or held.end > oldest)
            if before is None or before.bytes >= held.end:
                before = UUID(bytes=held.end)
        rows = await self._stores.timelines.timeline(
            user_id, before=before, since_ms=since_ms, limit=limit
        )
        entries = [feed_entry(UUID(int=number), author_id) for number, author_id in rows]
        more = len(rows) == limit
        end = rows[-1].post_id.bytes if more else oldest
        if isinstance(held, Lease) and before is None:
            await self._cache.fill_feed(held, entries, end=end)
        elif isinstance(held, FeedList) and before is not None and before.bytes == held.end:
            await self._cache.extend_feed(user_id, held, entries, end=end)
        return _page(entries, more=more)

    async def forget(self, event: Event) -> None:
        """Forget what the tables show new since an event, for a request that has to see it.

        A cache that can't do it now is passed by for a moment, so such a request reads the tables.
        """
        with suppress(Unavailable):
            await self._cache.forget(changed_keys(event))

    async def _read(
        self,
        kind: Kind[K, V],
        ids: Collection[K],
        load: Callable[[Collection[K]], Awaitable[Mapping[K, V]]],
        *,
        from_tables: bool = False,
    ) -> dict[K, V]:
        if from_tables or not self._cache.usable():
            return dict(await load(ids))
        found: dict[K, V] = {}
        missing: dict[K, Lease | None] = {}
        held = await self._cache.look_up([kind.key(key) for key in ids])
        for key, value in zip(ids, held, strict=True):
            if isinstance(value, bytes):
                try:
                    found[key] = kind.unpack(key, value)
                except _UNREADABLE:
                    missing[key] = None
            else:
                missing[key] = value
        if missing:
            loaded = await load(missing)
            found.update(loaded)
            filled = [
                (lease, kind.pack(loaded[key]))
                for key, lease in missing.items()
                if lease is not None and key in loaded
            ]
            if filled:
                await self._cache.fill(filled)
        return found


def _newest_first(held: FeedList, before: UUID | None, oldest: bytes) -> list[bytes]:
    """The entries that a list is known to hold completely, older than `before`."""
    entries = sorted(set(held.entries))
    oldest = max(oldest, held.end)
    first = bisect_left(entries, oldest)
    last = len(entries) if before is None else bisect_left(entries, before.bytes)
    return entries[first:last][::-1]


def _page(entries: Sequence[bytes], *, more: bool) -> Page:
    found = [Candidate(-entry_number(entry), entry_author(entry), "push") for entry in entries]
    return Page(found, more)
