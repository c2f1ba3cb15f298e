"""Whole feeds for operators, as the feed service serves them: by its own query, from the same tables and the same shared cache.

A feed process also remembers for half a second what many readers share; nothing is remembered here. No read is noted, and no
sleeping user is woken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.engines import Tables
from fanfold.core.settings import Settings
from fanfold.http.problems import UserNotFound
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.celebrities import Celebrities
from feed_service.caches.shared_reads import SharedReads
from feed_service.query.by_relevance import Ranked, newest_ranked
from feed_service.query.feed_query import FeedQuery, HydratedPost
from feed_service.query.ranking import Relevance

_BUDGET_S = 10.0


class ServedFeeds:
    """Whole feeds, and what relevance ranks. Every method raises `Unavailable` where a feed would be incomplete.

    The feed of a user who has left is empty.
    """

    def __init__(
        self, reads: CachedReads, shared: SharedReads, *, settings: Settings, clock: Clock
    ) -> None:
        self.shared = shared
        self._reads = reads
        self._settings = settings
        self._clock = clock

    async def newer_than(self, viewer: str, post_id: UUID) -> int:
        """How many posts of the feed are newer than this one; no more than the feed's depth are counted."""
        return len(await self._taken(viewer, until=post_id))

    async def whole(self, viewer: str) -> Sequence[HydratedPost]:
        """The feed by time, newest first, to its end."""
        return await self._taken(viewer)

    async def candidates(self, viewer: str) -> Sequence[Ranked]:
        """The posts that relevance ranks now, newest first."""
        query = await self._opened(viewer)
        if query is None:
            return ()
        most = Relevance().posts_per_pulled_author
        found = await newest_ranked(query, self._settings.relevance_window, most)
        _refuse_incomplete(query)
        return found

    async def _taken(self, viewer: str, *, until: UUID | None = None) -> Sequence[HydratedPost]:
        query = await self._opened(viewer)
        if query is None:
            return ()
        depth = self._settings.feed_depth
        merge = await query.skeleton(wanted=depth, until=until, likes=False)
        found = await query.take(merge, depth, query.filter())
        _refuse_incomplete(query)
        return found

    async def _opened(self, viewer: str) -> FeedQuery | None:
        since_ms = self._clock.now_ms() - self._settings.retention_ms
        try:
            return await FeedQuery.open(viewer, self._reads, since_ms=since_ms)
        except UserNotFound:
            return None


def _refuse_incomplete(query: FeedQuery) -> None:
    if query.coverage.missing:
        raise Unavailable(f"the feed can't be read whole: {', '.join(query.coverage.missing)}")


@asynccontextmanager
async def served_feeds(
    tables: Tables, *, settings: Settings, clock: Clock
) -> AsyncIterator[ServedFeeds]:
    """The feeds of these tables, through their cache."""
    shared = SharedReads(
        stores=tables.stores,
        cache=tables.cache,
        retention_ms=settings.retention_ms,
        clock=clock,
        budget_s=_BUDGET_S,
    )
    celebrities = Celebrities(
        tables.stores.pulled_authors, shared, settings=settings, clock=clock, budget_s=_BUDGET_S
    )
    reads = CachedReads(shared, celebrities, settings=settings, clock=clock, kept_s=0)
    try:
        yield ServedFeeds(reads, shared, settings=settings, clock=clock)
    finally:
        await reads.close()
