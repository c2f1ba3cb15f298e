"""What one request's reader likes: loaded beside what else is loaded, and never silently unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from typing import TypeVar
from uuid import UUID

from fanfold.core.ports import Post
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.taste import Taste
from feed_service.query.coverage import Coverage

T = TypeVar("T")


class Likings:
    """Of one reader. While likes are unavailable there are none, and `likes` is noted as missing."""

    def __init__(self, reads: CachedReads, reader: str, coverage: Coverage) -> None:
        self._reads = reads
        self._reader = reader
        self._coverage = coverage
        self._taste = reads.taste_held(reader)

    @property
    def shares(self) -> Mapping[str, float]:
        """Author → their share of the reader's last likes. Known after `beside`."""
        return self._taste.shares if self._taste else {}

    async def beside(self, work: Awaitable[T]) -> T:
        """Do this work, and load the reader's taste meanwhile if it isn't at hand."""
        if self._taste is not None:
            return await work
        result, self._taste = await asyncio.gather(work, self._load())
        return result

    async def _load(self) -> Taste | None:
        return await self._coverage.ask("likes", self._reads.taste(self._reader))

    async def of(self, posts: Collection[Post]) -> Collection[UUID]:
        """Those of the posts that the reader likes. Asks about posts that are older than the likes at hand."""
        taste = self._taste
        if taste is None or not taste.ids:
            return ()
        liked = {post.post_id for post in posts if taste.lists(post.post_id)}
        unsure = [
            post.post_id
            for post in posts
            if post.post_id not in liked and not taste.tells(post.created_at_ms)
        ]
        if unsure:
            asked = self._reads.liked(self._reader, unsure)
            liked |= await self._coverage.ask("likes", asked) or set()
        return liked
