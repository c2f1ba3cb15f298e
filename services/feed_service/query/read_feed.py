"""Reading a feed: skeleton, filter, hydrate, rank, page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from prometheus_client import Counter as Metric

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.ids import created_at_ms
from fanfold.core.settings import Settings
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.viewer_graph import ViewerGraph
from feed_service.candidates import Candidate, candidate
from feed_service.consistency.after_writes import NOTHING_AWAITED, Awaited
from feed_service.query.access import refuse_left
from feed_service.query.coverage import Coverage, SourceName
from feed_service.query.cursor import (
    Frozen,
    Place,
    Ranked,
    Ranking,
    feed_scope,
    place_cursor,
    place_of,
    ranked_cursor,
    ranked_of,
)
from feed_service.query.hydrate import Hydrated, hydrate, take_live
from feed_service.query.items import ExplainedItem, FeedItem, FeedPage, explained_item, feed_item
from feed_service.query.likings import Likings
from feed_service.query.merge import Merge
from feed_service.query.ranking import Relevance, parts, relevance
from feed_service.query.sources import Skeleton, Sources, Span, visible

_INCOMPLETE = Metric(
    "fanfold_feed_incomplete",
    "Feeds answered without a source that could not be asked.",
    ["source"],
)


@dataclass(frozen=True, slots=True)
class FeedRules:
    """What a feed is, from the settings, and how it is ranked."""

    retention_ms: int
    depth: int
    window: int
    relevance: Relevance = field(default_factory=Relevance)

    @classmethod
    def of(cls, settings: Settings) -> FeedRules:
        return cls(settings.retention_ms, settings.feed_depth, settings.relevance_window)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, while it is answered."""

    viewer: str
    limit: int
    scope: str
    pull_too: frozenset[str]
    coverage: Coverage
    likings: Likings


class ReadFeed:
    """The use case. Pages are full unless the feed ends with them or a source is missing."""

    def __init__(
        self, sources: Sources, reads: CachedReads, *, rules: FeedRules, clock: Clock
    ) -> None:
        self._sources = sources
        self._reads = reads
        self._rules = rules
        self._clock = clock

    async def __call__(
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

        `awaited` is what became of the writes that this read has to see. With `explain` each item says what its score is
        made of; on a later page as of now, though the order stays that of the first. Raises `Unavailable` when no source
        could be asked; answers 422 for a cursor of another user or ranking, and 404 to a viewer who has left.
        """
        coverage = Coverage()
        scope = feed_scope(ranking, viewer)
        likings = Likings(self._reads, viewer, coverage)
        asked = _Asked(viewer, limit, scope, awaited.authors, coverage, likings)
        if ranking == "chronological":
            shown, next_cursor = await self._chronological(asked, cursor)
        elif cursor is None:
            shown, next_cursor = await self._relevance(asked)
        else:
            shown, next_cursor = await self._go_on(asked, ranked_of(cursor, scope=asked.scope))
        coverage.refuse_nothing(shown)
        items = await self._items(shown, likings, explain=explain)
        missing = sorted({*coverage.missing, *(("behind",) if awaited.behind else ())})
        for source in missing:
            _INCOMPLETE.labels(source).inc()
        return FeedPage(items, next_cursor, complete=not missing), missing

    async def _items(
        self, shown: Sequence[Hydrated], likings: Likings, *, explain: bool
    ) -> list[FeedItem | ExplainedItem]:
        liked = await likings.of([each.post for each in shown])
        if not explain:
            return [feed_item(each, liked=each.post.post_id in liked) for each in shown]
        now_ms = self._clock.now_ms()
        items: list[FeedItem | ExplainedItem] = []
        for each in shown:
            age_ms = max(0, now_ms - each.post.created_at_ms)
            score = parts(
                self._rules.relevance,
                age_ms=age_ms,
                like_count=each.post.like_count,
                affinity_share=likings.shares.get(each.post.author_id, 0.0),
            )
            is_liked = each.post.post_id in liked
            items.append(explained_item(each, score, liked=is_liked, age_ms=age_ms))
        return items

    async def _chronological(
        self, asked: _Asked, cursor: str | None
    ) -> tuple[list[Hydrated], str | None]:
        """Strictly by time, from the place where the page before ended."""
        place = place_of(cursor, scope=asked.scope) if cursor else None
        served = place.served if place else 0
        room = max(0, min(asked.limit, self._rules.depth - served))
        # One more than is shown tells whether another page follows.
        wanted = room + 1 if served + room < self._rules.depth else room
        span = self._span(place.last if place else None)
        skeleton = await self._skeleton(asked, span, wanted=wanted)
        live = await take_live(
            Merge(skeleton.sources),
            wanted,
            visible(skeleton.visible, span),
            reads=self._reads,
            coverage=asked.coverage,
        )
        shown = live[:room]
        if not shown or (len(live) <= room and not asked.coverage.without_content):
            return shown, None
        newest = place.newest if place else shown[0].post.post_id
        end = Place(shown[-1].post.post_id, served + len(shown), newest)
        return shown, place_cursor(end, scope=asked.scope)

    async def _relevance(self, asked: _Asked) -> tuple[list[Hydrated], str | None]:
        """The best of the newest, and the rest of them frozen into the cursor."""
        span = self._span(None)
        skeleton = await self._skeleton(asked, span, wanted=self._rules.window)
        window = await self._window(skeleton, span, asked.coverage)
        ranked = self._rank(window, asked.likings.shares)
        rest = _frozen(ranked[asked.limit :])
        if not rest:
            return ranked, None
        # The window is newest first; the ranking needn't be.
        frozen = Frozen(rest, window[0].post.post_id)
        return ranked[: asked.limit], ranked_cursor(frozen, scope=asked.scope)

    async def _go_on(self, asked: _Asked, frozen: Frozen) -> tuple[list[Hydrated], str | None]:
        """The next page of a frozen ranking, without what was deleted or is no longer followed."""
        coverage, remaining = asked.coverage, frozen.remaining
        graph = await asked.likings.beside(self._viewer_graph(asked))
        if graph:
            refuse_left(graph)
        authors = graph.visible if graph else frozenset((asked.viewer,))
        shows = visible(authors, self._span(None))
        candidates = [candidate(post_id, "", source) for post_id, source in remaining]
        live = [
            each
            for each in await hydrate(self._reads, candidates, coverage)
            if shows(candidate(each.post.post_id, each.post.author_id, each.source))
        ]
        shown = live[: asked.limit]
        rest = _frozen(live[asked.limit :])
        if coverage.missing:
            # Who could not be judged is not lost: a later page may show them.
            done = {each.post.post_id for each in shown}
            if not done:
                raise Unavailable("the rest of the ranking can't be read now")
            rest = [each for each in remaining if each.post_id not in done]
        if not rest:
            return shown, None
        return shown, ranked_cursor(Frozen(rest, frozen.newest), scope=asked.scope)

    async def _viewer_graph(self, asked: _Asked) -> ViewerGraph | None:
        return await asked.coverage.ask("graph", self._reads.viewer_graph(asked.viewer))

    async def _skeleton(self, asked: _Asked, span: Span, *, wanted: int) -> Skeleton:
        skeleton = self._sources.skeleton(
            asked.viewer,
            span,
            wanted=wanted,
            coverage=asked.coverage,
            pull_too=asked.pull_too,
        )
        return await asked.likings.beside(skeleton)

    async def _window(self, skeleton: Skeleton, span: Span, coverage: Coverage) -> list[Hydrated]:
        """The newest posts that may be ranked: at most so many of each pulled author."""
        window: list[Hydrated] = []
        most = self._rules.relevance.posts_per_pulled_author
        pulled: Counter[str] = Counter()
        merge = Merge(skeleton.sources)
        shows = visible(skeleton.visible, span)

        def keep(each: Candidate) -> bool:
            return shows(each) and (each.source == "push" or pulled[each.author_id] < most)

        while len(window) < self._rules.window:
            missing = self._rules.window - len(window)
            live = await take_live(merge, missing, keep, reads=self._reads, coverage=coverage)
            for each in live:
                if each.source == "pull":
                    pulled[each.post.author_id] += 1
                    if pulled[each.post.author_id] > most:
                        continue
                window.append(each)
            if len(live) < missing:
                break
            merge.close([author_id for author_id, count in pulled.items() if count >= most])
        return window

    def _rank(self, window: list[Hydrated], shares: Mapping[str, float]) -> list[Hydrated]:
        now_ms = self._clock.now_ms()
        rule = self._rules.relevance

        def score(each: Hydrated) -> float:
            post = each.post
            return relevance(
                rule,
                age_ms=now_ms - created_at_ms(post.post_id),
                like_count=post.like_count,
                affinity_share=shares.get(post.author_id, 0.0),
            )

        # Stable: of equals the newer stays first.
        return sorted(window, key=score, reverse=True)

    def _span(self, before: UUID | None) -> Span:
        return Span(before, self._clock.now_ms() - self._rules.retention_ms)


def _frozen(ranked: Sequence[Hydrated]) -> list[Ranked]:
    return [Ranked(each.post.post_id, each.source) for each in ranked]
