"""The uses of the feed query: a page by time or by relevance, the newest posts for a live feed, and how many are new."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import get_args
from uuid import UUID

from prometheus_client import Counter

from fanfold.core.clock import Clock
from fanfold.core.ids import created_at_ms
from fanfold.core.metric_labels import start_at_zero
from fanfold.core.settings import Settings
from fanfold.http.after_writes import NOTHING_AWAITED, Awaited
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.changed_keys import changed_keys
from feed_service.presence import Presence
from feed_service.query.by_relevance import explanation, first_page, next_page
from feed_service.query.by_time import page_by_time
from feed_service.query.coverage import SourceName
from feed_service.query.cursor import Ranking, RankingCursor, TimeCursor, feed_scope
from feed_service.query.feed_query import FeedQuery, HydratedPost
from feed_service.query.items import FeedPage, Newest, NewPosts
from feed_service.query.ranking import Relevance
from feed_service.query.watched_keys import watched_keys

MOST_COUNTED = 100

_INCOMPLETE = Counter(
    "fanfold_feed_incomplete",
    "Feeds answered without a source that could not be asked.",
    ["source"],
)
start_at_zero(_INCOMPLETE, get_args(SourceName))


class Feeds:
    """Reads feeds. Every use raises `Unavailable` when no source could be asked, and answers 404 to a viewer who has left."""

    def __init__(
        self, reads: CachedReads, *, presence: Presence, settings: Settings, clock: Clock
    ) -> None:
        self._reads = reads
        self._presence = presence
        self._retention_ms = settings.retention_ms
        self._depth = settings.feed_depth
        self._window = settings.relevance_window
        self._relevance = Relevance()
        self._clock = clock

    async def page(
        self,
        viewer: str,
        *,
        ranking: Ranking,
        limit: int,
        cursor: str | None,
        awaited: Awaited = NOTHING_AWAITED,
        explain: bool = False,
    ) -> tuple[FeedPage, list[SourceName]]:
        """A page of the viewer's feed, and the sources that could not be asked.

        Pages are full unless the feed ends with them or a source is missing. `awaited` is what became of the writes that
        this read has to see. With `explain` each item says what its score is made of; on a later page as of now, though
        the order stays that of the first. Answers 422 for a cursor of another user or ranking.
        """
        scope = feed_scope(ranking, viewer)
        page: tuple[list[HydratedPost], TimeCursor | RankingCursor | None]
        if ranking == "chronological":
            start = TimeCursor.decode(cursor, scope=scope) if cursor else None
            query = await self._open(viewer, awaited=awaited)
            page = await page_by_time(query, start, limit=limit, depth=self._depth)
        elif cursor:
            rest = RankingCursor.decode(cursor, scope=scope)
            query = await self._open(viewer, awaited=awaited)
            page = await next_page(query, self._relevance, rest, limit=limit, window=self._window)
        else:
            query = await self._open(viewer, awaited=awaited)
            page = await first_page(
                query,
                self._relevance,
                limit=limit,
                window=self._window,
                now_ms=self._clock.now_ms(),
            )
        return await self._answer(query, *page, scope=scope, behind=awaited.behind, explain=explain)

    async def _answer(
        self,
        query: FeedQuery,
        posts: Sequence[HydratedPost],
        end: TimeCursor | RankingCursor | None,
        *,
        scope: str,
        behind: bool,
        explain: bool,
    ) -> tuple[FeedPage, list[SourceName]]:
        query.coverage.require_any(posts)
        now_ms = self._clock.now_ms()
        explained = partial(explanation, query, self._relevance, now_ms=now_ms) if explain else None
        items = await query.present(posts, explained)
        if behind:
            query.coverage.missing.add("behind")
        missing = sorted(query.coverage.missing)
        for source in missing:
            _INCOMPLETE.labels(source).inc()
        next_cursor = end.encode(scope=scope) if end else None
        return FeedPage(items, next_cursor, complete=not missing), missing

    async def newest(self, viewer: str, limit: int) -> Newest:
        """The newest `limit` items."""
        query = await self._open(viewer)
        merge = await query.skeleton(wanted=limit)
        items = await query.present(await query.take(merge, limit, query.filter()))
        complete = not query.coverage.missing and not query.coverage.without_content
        not_pushed = query.graph.unmaterialised if query.graph else ()
        watched = watched_keys(viewer, items, authored=not_pushed, celebrities=query.celebrities)
        return Newest(items, watched, complete)

    async def count_new(
        self, viewer: str, since: UUID, *, awaited: Awaited = NOTHING_AWAITED
    ) -> tuple[NewPosts, list[SourceName]]:
        """How many posts of the feed were created after this one, and the sources that could not be asked."""
        query = await self._open(viewer, awaited=awaited, since_ms=created_at_ms(since))
        wanted = MOST_COUNTED + 1
        merge = await query.skeleton(wanted=wanted, until=since, likes=False)
        newer = await query.take(merge, wanted, query.filter())
        query.coverage.require_any(newer)
        if awaited.behind:
            query.coverage.missing.add("behind")
        missing = sorted(query.coverage.missing)
        more = len(newer) > MOST_COUNTED
        return NewPosts(min(len(newer), MOST_COUNTED), more, complete=not missing), missing

    async def _open(
        self,
        viewer: str,
        *,
        awaited: Awaited = NOTHING_AWAITED,
        since_ms: int = 0,
    ) -> FeedQuery:
        """A query of the viewer's feed. Records the read, and wakes a sleeping viewer."""
        retained_since_ms = self._clock.now_ms() - self._retention_ms
        reads = self._reads.past(changed_keys(awaited.changes)) if awaited.changes else self._reads
        query = await FeedQuery.open(
            viewer,
            reads,
            since_ms=max(retained_since_ms, since_ms),
            pull_too=awaited.authors,
        )
        if query.graph is not None:
            self._presence.seen(
                viewer,
                asleep_offset=query.graph.asleep_offset,
                woke_offset=query.graph.woke_offset,
            )
        return query
