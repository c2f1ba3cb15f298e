"""What one request's reader likes: loaded beside what else is loaded, and never silently unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from typing import TypeVar
from uuid import UUID

from fanfold.core.ports import Post
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.recent_likes import RecentLikes
from feed_service.query.coverage import Coverage

T = TypeVar("T")


class Likings:
    """Of one reader. While likes are unavailable there are none, and `likes` is noted as missing."""

    def __init__(self, reads: CachedReads, reader: str, coverage: Coverage) -> None:
        self._reads = reads
        self._reader = reader
        self._coverage = coverage
        self._likes = reads.cached_recent_likes(reader)

    @property
    def shares(self) -> Mapping[str, float]:
        """Author → their share of the reader's last likes. Known after `beside`."""
        return self._likes.shares if self._likes else {}

    async def beside(self, work: Awaitable[T]) -> T:
        """Do this work, and load the recent likes meanwhile if it isn't at hand."""
        if self._likes is not None:
            return await work
        result, self._likes = await asyncio.gather(work, self._load())
        return result

    async def _load(self) -> RecentLikes | None:
        return await self._coverage.ask("likes", self._reads.recent_likes(self._reader))

    async def of(self, posts: Collection[Post]) -> Collection[UUID]:
        """Those of the posts that the reader likes. Asks about posts that are older than the likes at hand."""
        recent = self._likes
        if recent is None or not recent.ids:
            return ()
        liked = {post.post_id for post in posts if recent.lists(post.post_id)}
        unsure = [
            post.post_id
            for post in posts
            if post.post_id not in liked and not recent.tells(post.created_at_ms)
        ]
        if unsure:
            asked = self._reads.liked(self._reader, unsure)
            liked |= await self._coverage.ask("likes", asked) or set()
        return liked
