"""The shared cache against the tables: each value that it holds about one viewer and the posts of their feed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from console_service.explain.read_facts import held, held_list
from fanfold.core.cache_keys import (
    authored_key,
    entry_author,
    entry_number,
    feed_key,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
)
from fanfold.core.ids import created_at_ms, first_post_id_at
from fanfold.core.ports import Counted
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.ops.audit.by_pull import timeline_rows
from fanfold.ops.audit.compare import ServedPost
from feed_service.caches import packing
from feed_service.caches.shared_reads import HEAD_POSTS, OWN_POSTS, SharedReads

T = TypeVar("T")


class CachedValues:
    """Compares what the cache holds. A value that can't be read is no difference: readers ignore it."""

    def __init__(self, engines: Engines, reads: SharedReads) -> None:
        self._engines = engines
        self._tables = replace(reads, cache=NoSharedCache())
        self.compared = 0
        """Values compared so far."""

    async def different(
        self, viewer: str, feed: Sequence[ServedPost], *, since_ms: int
    ) -> set[str]:
        """The keys whose value differs from the tables. Raises `Unavailable`."""
        if not self._engines.cache.usable():
            return set()
        posts = {post.post_id.int: post.author_id for post in feed}
        authors = {viewer, *posts.values()}
        return {
            *await self._list(viewer, since_ms),
            *await self._graph(viewer),
            *await self._names(authors),
            *await self._posts(posts.keys()),
            *await self._authored(authors, since_ms),
            *await self._pulled(authors, since_ms),
        }

    async def _list(self, viewer: str, since_ms: int) -> set[str]:
        found = await held_list(self._engines.cache, viewer)
        if found is None:
            return set()
        self.compared += 1
        oldest = max(int.from_bytes(found.end), first_post_id_at(max(0, since_ms)).int)
        cached = {
            (entry_number(entry), entry_author(entry))
            for entry in found.entries
            if entry_number(entry) >= oldest
        }
        rows = timeline_rows(self._engines.stores, viewer, since_ms=created_at_ms(UUID(int=oldest)))
        held_rows = {(post.int, author) async for post, author in rows if post.int >= oldest}
        return set() if cached == held_rows else {feed_key(viewer)}

    async def _graph(self, viewer: str) -> set[str]:
        key = graph_key(viewer)
        found = await self._held({key: viewer}, packing.unpack_graph)
        if not found:
            return set()
        table = await self._tables.viewer_graph(viewer)
        cached = found[key]
        same = replace(cached, unmaterialised=()) == replace(table, unmaterialised=()) and set(
            cached.unmaterialised
        ) == set(table.unmaterialised)
        return set() if same else {key}

    async def _names(self, authors: Collection[str]) -> set[str]:
        keys = {name_key(author): author for author in authors}
        found = await self._held(keys, packing.unpack_name)
        tables = await self._tables.names([keys[key] for key in found]) if found else {}
        return {key for key, name in found.items() if name != tables[keys[key]]}

    async def _posts(self, numbers: Collection[int]) -> set[str]:
        contents = {post_key(UUID(int=number)): number for number in numbers}
        counts = {like_count_key(number): number for number in numbers}
        content = await self._held(contents, lambda packed: packed)
        count = await self._held(counts, packing.unpack_counted)
        asked = {*(contents[key] for key in content), *(counts[key] for key in count)}
        tables = await self._tables.posts(asked) if asked else {}
        different = {
            key
            for key, packed in content.items()
            if (post := tables.get(contents[key])) and packing.pack_content(post) != packed
        }
        return different | {
            key
            for key, counted in count.items()
            if (post := tables.get(counts[key]))
            and Counted(post.like_count, post.deleted) != counted
        }

    async def _authored(self, authors: Collection[str], since_ms: int) -> set[str]:
        posts = self._engines.stores.posts
        return await self._newest(
            {authored_key(author): author for author in authors},
            packing.unpack_authored,
            partial(posts.by_author, limit=OWN_POSTS),
            attrgetter("post_id"),
            since_ms=max(0, since_ms),
        )

    async def _pulled(self, authors: Collection[str], since_ms: int) -> set[str]:
        timelines = self._engines.stores.timelines
        return await self._newest(
            {pulled_key(author): author for author in authors},
            lambda packed: [UUID(int=number) for number in packing.unpack_pulled(packed)],
            partial(timelines.pulled, limit=HEAD_POSTS),
            lambda post_id: post_id,
            since_ms=max(0, since_ms),
        )

    async def _newest(
        self,
        keys: Mapping[str, str],
        unpack: Callable[[bytes], Sequence[T]],
        read: Callable[..., Awaitable[Sequence[T]]],
        id_of: Callable[[T], UUID],
        *,
        since_ms: int,
    ) -> set[str]:
        """The keys, each of an author's newest posts, whose retained posts differ from what is read."""
        different = set()
        for key, cached in (await self._held(keys, unpack)).items():
            rows = await read(keys[key], before=None, since_ms=since_ms)
            if [post for post in cached if created_at_ms(id_of(post)) >= since_ms] != [*rows]:
                different.add(key)
        return different

    async def _held(self, keys: Mapping[str, Any], unpack: Callable[[bytes], T]) -> dict[str, T]:
        """The values that can be read, by key."""
        values: dict[str, T] = {}
        for key, packed in (await held(self._engines.cache, list(keys))).items():
            try:
                values[key] = unpack(packed)
            except packing.UNREADABLE:
                continue
        self.compared += len(values)
        return values
