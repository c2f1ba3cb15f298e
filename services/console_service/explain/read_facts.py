"""Reading what decides whether a post is in a feed. It changes nothing, wakes nobody and leases no key of the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from console_service.explain.facts import Cached, Facts, Listed, Relation
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
from fanfold.core.clock import Clock
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import AuthoredPost, Post, PulledAuthor, User
from fanfold.core.ports.engines import Tables
from fanfold.core.ports.shared_cache import FeedList, SharedCache
from fanfold.core.settings import Settings
from fanout_service.edges import edges_to, newest_edges
from feed_service.caches import packing
from feed_service.caches.shared_reads import HEAD_POSTS, OWN_POSTS
from feed_service.served_feeds import ServedFeeds

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFacts:
    """Reads facts from these tables and their cache. Raises `Unavailable`."""

    tables: Tables
    served: ServedFeeds
    settings: Settings
    clock: Clock

    async def __call__(self, viewer_id: str, post_id: UUID) -> Facts:
        stores = self.tables.stores
        viewer, posts, plan, slices, pointed_at, newer = await asyncio.gather(
            stores.users.get(viewer_id),
            stores.posts.get([post_id]),
            stores.jobs.plan(post_id),
            stores.jobs.slices_done(post_id),
            self._pointed_at(viewer_id, post_id),
            self.served.newer_than(viewer_id, post_id),
        )
        post = posts.get(post_id)
        authors = {author for author in (post and post.author_id, pointed_at) if author}
        relations, (authored, pulled, pulled_author), cached = await asyncio.gather(
            asyncio.gather(*(self._relation(viewer, author) for author in authors - {viewer_id})),
            self._pointers(post),
            read_cached(self.tables.cache, viewer_id, post_id, post),
        )
        return Facts(
            viewer=viewer,
            post_id=post_id,
            now_ms=self.clock.now_ms(),
            retention_ms=self.settings.retention_ms,
            depth=self.settings.feed_depth,
            post=post,
            relations={relation.author.user_id: relation for relation in relations},
            pointed_at=pointed_at,
            authored=authored,
            pulled=pulled,
            pulled_author=pulled_author,
            plan=plan,
            slices=slices,
            newer=newer,
            cached=cached,
        )

    async def _pointed_at(self, viewer_id: str, post_id: UUID) -> str | None:
        rows = await self.tables.stores.timelines.timeline(
            viewer_id, before=_after(post_id), since_ms=created_at_ms(post_id), limit=1
        )
        return rows[0].author_id if rows and rows[0].post_number == post_id.int else None

    async def _pointers(
        self, post: Post | None
    ) -> tuple[AuthoredPost | None, bool, PulledAuthor | None]:
        if post is None:
            return None, False, None
        author_id, stores = post.author_id, self.tables.stores
        before, since_ms = _after(post.post_id), post.created_at_ms
        authored, pulled, pulled_author = await asyncio.gather(
            stores.posts.by_author(author_id, before=before, since_ms=since_ms, limit=1),
            stores.timelines.pulled(author_id, before=before, since_ms=since_ms, limit=1),
            stores.pulled_authors.get(author_id),
        )
        found = next((pointer for pointer in authored if pointer.post_id == post.post_id), None)
        return found, post.post_id in pulled, pulled_author

    async def _relation(self, viewer: User, author_id: str) -> Relation:
        stores, viewer_id = self.tables.stores, viewer.user_id
        author = await stores.users.get(author_id)
        follows, edges, mute, blocks = await asyncio.gather(
            stores.follows.follows_of(viewer_id, [author_id]),
            edges_to(author, [viewer_id], stores=stores),
            stores.ties.mute_of(viewer_id, author_id),
            stores.ties.blocks_between(viewer_id, author_id),
        )
        return Relation(
            author=author,
            follow=follows.get(author_id),
            edge=newest_edges(edges).get(viewer_id),
            mute=mute,
            blocks=blocks,
        )


def _after(post_id: UUID) -> UUID:
    """The id that follows: with it as the exclusive end of a page, the post is the page's first."""
    return UUID(int=post_id.int + 1)


async def read_cached(
    cache: SharedCache, viewer_id: str, post_id: UUID, post: Post | None
) -> Cached:
    """What the cache holds about them now."""
    author_id = viewer_id if post is None else post.author_id
    keys = {
        "graph": graph_key(viewer_id),
        "authored": authored_key(author_id),
        "pulled": pulled_key(author_id),
        "content": post_key(post_id),
        "count": like_count_key(post_id.int),
        "name": name_key(author_id),
    }
    values = await held(cache, list(keys.values()))
    found = {name: values.get(key) for name, key in keys.items()}
    content, count = found["content"], found["count"]
    read_post = content is not None and count is not None
    stored = _unpacked(
        lambda _: packing.unpack_post(post_id.int, content or b"", count or b""),
        b"" if read_post else None,
    )
    author = _unpacked(lambda packed: (packing.unpack_name(packed),), found["name"])
    authored = _unpacked(packing.unpack_authored, found["authored"])
    pulled = _unpacked(packing.unpack_pulled, found["pulled"])
    numbers = None if authored is None else [pointer.post_id.int for pointer in authored]
    return Cached(
        graph=_unpacked(packing.unpack_graph, found["graph"]),
        listed=await _listed(cache, viewer_id, post_id),
        authored=None if numbers is None else _among(post_id.int, numbers, OWN_POSTS),
        pulled=None if pulled is None else _among(post_id.int, pulled, HEAD_POSTS),
        deleted=None if stored is None else stored.deleted,
        author_id=None if stored is None else stored.author_id,
        left=None if author is None else author[0] is None,
    )


def _among(number: int, newest: Sequence[int], most: int) -> bool | None:
    """Whether a post is among an author's newest; None if it is older than what a full list reaches back to."""
    if number in newest:
        return True
    return None if len(newest) == most and number < newest[-1] else False


async def held(cache: SharedCache, keys: Sequence[str]) -> dict[str, bytes]:
    """The values of the keys that are filled. The others are not leased: a reader that comes first may do that."""
    marks = await cache.marks(keys) if cache.usable() else None
    filled = [key for key, mark in zip(keys, marks or (), strict=False) if mark]
    if not filled:
        return {}
    values = await cache.look_up(filled)
    return {
        key: value for key, value in zip(filled, values, strict=True) if isinstance(value, bytes)
    }


async def held_list(cache: SharedCache, viewer_id: str) -> FeedList | None:
    """The viewer's list, if it is filled; likewise without a lease."""
    marks = await cache.marks([feed_key(viewer_id)]) if cache.usable() else None
    found = await cache.feed(viewer_id) if marks and marks[0] else None
    return found if isinstance(found, FeedList) and len(found.end) in (0, 16) else None


async def _listed(cache: SharedCache, viewer_id: str, post_id: UUID) -> Listed | None:
    found = await held_list(cache, viewer_id)
    if found is None or post_id.bytes < found.end:
        return None
    authors = [entry_author(e) for e in found.entries if entry_number(e) == post_id.int]
    # Of two entries of one post the merge shows the greater.
    return Listed(max(authors, default=None) or None)


def _unpacked(unpack: Callable[[bytes], V], packed: bytes | None) -> V | None:
    """The value; None if there is none, or if it can't be read, as readers do."""
    if packed is None:
        return None
    try:
        return unpack(packed)
    except packing.UNREADABLE:
        return None
