"""The head of a feed: its newest posts for a live one, and how many have come since a post."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ids import created_at_ms
from feed_service.caches.cached_reads import CachedReads
from feed_service.candidates import Candidate
from feed_service.query.coverage import Coverage, SourceName
from feed_service.query.hydrate import take_live
from feed_service.query.items import Newest, NewPosts, feed_item
from feed_service.query.likings import Likings
from feed_service.query.merge import Merge
from feed_service.query.sources import Sources, Span, visible

MOST_COUNTED = 100


class ReadHead:
    """Two small readings of the chronological feed.

    Raises `Unavailable` when no source could be asked; answers 404 to a reader who has left.
    """

    def __init__(
        self, sources: Sources, reads: CachedReads, *, retention_ms: int, clock: Clock
    ) -> None:
        self._sources = sources
        self._reads = reads
        self._retention_ms = retention_ms
        self._clock = clock

    async def newest(self, viewer: str, limit: int, pull_too: frozenset[str]) -> Newest:
        """The newest `limit` items; the posts of `pull_too` even if their fan-out is on its way."""
        coverage = Coverage()
        span = Span(None, self._clock.now_ms() - self._retention_ms)
        likings = Likings(self._reads, viewer, coverage)
        skeleton = await likings.beside(
            self._sources.skeleton(viewer, span, wanted=limit, coverage=coverage, pull_too=pull_too)
        )
        shown = await take_live(
            Merge(skeleton.sources),
            limit,
            visible(skeleton.visible, span),
            reads=self._reads,
            coverage=coverage,
        )
        liked = await likings.of([each.post for each in shown])
        items = [feed_item(each, liked=each.post.post_id in liked) for each in shown]
        complete = not coverage.missing and not coverage.without_content
        return Newest(items, skeleton.visible, complete)

    async def count_new(self, viewer: str, since: UUID) -> tuple[NewPosts, list[SourceName]]:
        """How many posts of the feed were created after this one, and the sources that could not be asked."""
        coverage = Coverage()
        oldest_ms = self._clock.now_ms() - self._retention_ms
        span = Span(None, max(oldest_ms, created_at_ms(since)))
        skeleton = await self._sources.skeleton(
            viewer, span, wanted=MOST_COUNTED + 1, coverage=coverage
        )
        shows = visible(skeleton.visible, span)

        def newer(each: Candidate) -> bool:
            return each.order < -since.int and shows(each)

        merge = Merge(skeleton.sources, until=-since.int)
        live = await take_live(merge, MOST_COUNTED + 1, newer, reads=self._reads, coverage=coverage)
        coverage.refuse_nothing(live)
        missing = sorted(coverage.missing)
        count = min(len(live), MOST_COUNTED)
        return NewPosts(count, len(live) > MOST_COUNTED, complete=not missing), missing
