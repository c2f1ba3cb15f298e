"""Posts, pointers to them and likes of them: what their writes tell the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from fanfold.adapters.telling_stores.writer import CacheWriter
from fanfold.core.cache_keys import (
    authored_key,
    feed_entry,
    feed_key,
    like_count_key,
    post_key,
    pulled_key,
    recent_likes_key,
)
from fanfold.core.delivery import Delivery
from fanfold.core.ports import Like, LikeCount, Likes, ListedLike, Pointer, Posts, Timelines


class TellingPosts:
    """See `fanfold.core.ports.Posts`."""

    def __init__(self, posts: Posts, writer: CacheWriter) -> None:
        self._posts = posts
        self._writer = writer
        self.get = posts.get
        self.counted = posts.counted
        self.by_author = posts.by_author
        self.newest_by_authors = posts.newest_by_authors

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        await self._posts.create(post_id, author_id, content)
        await self._writer.forget(post_key(post_id), authored_key(author_id))

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, offset: int) -> None:
        await self._posts.edit(post_id, content, edited_at_ms=edited_at_ms, offset=offset)
        await self._writer.forget(post_key(post_id))

    async def note_offset(self, post_id: UUID, *, offset: int) -> None:
        await self._posts.note_offset(post_id, offset=offset)
        # A reader may be waiting for this offset.
        await self._writer.forget(post_key(post_id))

    async def delete(self, post_id: UUID, *, offset: int) -> None:
        await self._posts.delete(post_id, offset=offset)
        await self._writer.forget(post_key(post_id), like_count_key(post_id.int))

    async def set_delivery(
        self, author_id: str, post_id: UUID, delivery: Delivery, *, offset: int
    ) -> None:
        await self._posts.set_delivery(author_id, post_id, delivery, offset=offset)
        await self._writer.forget(authored_key(author_id))


class TellingTimelines:
    """See `fanfold.core.ports.Timelines`."""

    def __init__(self, timelines: Timelines, writer: CacheWriter) -> None:
        self._timelines = timelines
        self._writer = writer
        self.timeline = timelines.timeline
        self.pulled = timelines.pulled

    async def push(self, pointers: Sequence[Pointer], user_ids: Sequence[str]) -> int:
        rows = await self._timelines.push(pointers, user_ids)
        if pointers and user_ids:
            # Expired pointers too, for which no row was written: reads leave them out by their time.
            entries = [feed_entry(pointer.post_id, pointer.author_id) for pointer in pointers]
            await self._writer.push(entries, user_ids)
        return rows

    async def correct(self, user_id: str, pointer: Pointer) -> None:
        await self._timelines.correct(user_id, pointer)
        await self._writer.forget(feed_key(user_id))

    async def add_pulled(self, pointer: Pointer) -> None:
        await self._timelines.add_pulled(pointer)
        await self._writer.forget(pulled_key(pointer.author_id))


class TellingLikes:
    """See `fanfold.core.ports.Likes`."""

    def __init__(self, likes: Likes, writer: CacheWriter) -> None:
        self._likes = likes
        self._writer = writer
        self.counts = likes.counts
        self.of_post = likes.of_post
        self.of_pairs = likes.of_pairs
        self.of_user = likes.of_user
        self.recent = likes.recent

    async def write_counts(self, counts: Mapping[UUID, LikeCount]) -> None:
        await self._likes.write_counts(counts)
        await self._writer.forget(*(like_count_key(post_id.int) for post_id in counts))

    async def write(self, likes: Sequence[Like]) -> None:
        await self._likes.write(likes)  # whether a viewer likes a post is not cached

    async def write_recent(self, entries: Sequence[ListedLike]) -> None:
        await self._likes.write_recent(entries)
        await self._writer.forget(*{recent_likes_key(entry.user_id) for entry in entries})
