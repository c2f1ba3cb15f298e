"""Reading a feed: skeleton, filter, hydrate, rank, page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from prometheus_client import Counter as Metric

from fanfold.clock import Clock
from fanfold.errors import Unavailable
from fanfold.ids import created_at_ms, first_post_id_at
from fanfold.settings import Settings
from feed_service.cached_reads import CachedReads
from feed_service.coverage import Coverage, SourceName
from feed_service.cursor import (
    Place,
    Ranked,
    Ranking,
    place_cursor,
    place_of,
    ranked_cursor,
    ranked_of,
)
from feed_service.hydrate import Hydrated, author_names, hydrate, take_live
from feed_service.items import FeedPage, feed_item
from feed_service.merge import Candidate, Merge, candidate
from feed_service.ranking import Relevance, relevance
from feed_service.sources import Skeleton, Sources, Span

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
        self, viewer: str, *, ranking: Ranking, limit: int, cursor: str | None
    ) -> tuple[FeedPage, list[SourceName]]:
        """A page of the viewer's feed, and the sources that could not be asked.

        Raises `Unavailable` when no source could be asked; answers 422 for a cursor of another user or ranking.
        """
        coverage = Coverage()
        scope = f"feed/{ranking}/{viewer}"
        if ranking == "chronological":
            shown, next_cursor = await self._chronological(viewer, limit, cursor, scope, coverage)
        elif cursor is None:
            shown, next_cursor = await self._relevance(viewer, limit, scope, coverage)
        else:
            remaining = ranked_of(cursor, scope=scope)
            shown, next_cursor = await self._go_on(viewer, limit, remaining, scope, coverage)
        _refuse_nothing(shown, coverage)
        names = await author_names(self._reads, [each.post for each in shown], coverage)
        items = [feed_item(post, names[post.author_id], source) for post, source in shown]
        missing = sorted(coverage.missing)
        for source in missing:
            _INCOMPLETE.labels(source).inc()
        return FeedPage(items, next_cursor, complete=not missing), missing

    async def _chronological(
        self, viewer: str, limit: int, cursor: str | None, scope: str, coverage: Coverage
    ) -> tuple[list[Hydrated], str | None]:
        """Strictly by time, from the place where the page before ended."""
        place = place_of(cursor, scope=scope) if cursor else None
        served = place.served if place else 0
        room = max(0, min(limit, self._rules.depth - served))
        # One more than is shown tells whether another page follows.
        wanted = room + 1 if served + room < self._rules.depth else room
        span = self._span(place.last if place else None)
        skeleton = await self._sources.skeleton(viewer, span, wanted=wanted, coverage=coverage)
        live = await take_live(
            Merge(skeleton.sources),
            wanted,
            _visible(skeleton.visible, span),
            reads=self._reads,
            coverage=coverage,
        )
        shown = live[:room]
        if not shown or (len(live) <= room and not coverage.without_content):
            return shown, None
        end = Place(shown[-1].post.post_id, served + len(shown))
        return shown, place_cursor(end, scope=scope)

    async def _relevance(
        self, viewer: str, limit: int, scope: str, coverage: Coverage
    ) -> tuple[list[Hydrated], str | None]:
        """The best of the newest, and the rest of them frozen into the cursor."""
        span = self._span(None)
        skeleton = await self._sources.skeleton(
            viewer, span, wanted=self._rules.window, coverage=coverage
        )
        ranked = self._rank(await self._window(skeleton, span, coverage))
        return ranked[:limit], _rest(_frozen(ranked[limit:]), scope)

    async def _go_on(
        self,
        viewer: str,
        limit: int,
        remaining: Sequence[Ranked],
        scope: str,
        coverage: Coverage,
    ) -> tuple[list[Hydrated], str | None]:
        """The next page of a frozen ranking, without what was deleted or is no longer followed."""
        sight = await coverage.ask("graph", self._reads.sight(viewer))
        authors = sight.visible if sight else frozenset((viewer,))
        visible = _visible(authors, self._span(None))
        candidates = [candidate(post_id, "", source) for post_id, source in remaining]
        live = [
            each
            for each in await hydrate(self._reads, candidates, coverage)
            if visible(candidate(each.post.post_id, each.post.author_id, each.source))
        ]
        shown = live[:limit]
        if not coverage.missing:
            return shown, _rest(_frozen(live[limit:]), scope)
        # Who could not be judged is not lost: a later page may show them.
        done = {each.post.post_id for each in shown}
        if not done:
            raise Unavailable("the rest of the ranking can't be read now")
        return shown, _rest([each for each in remaining if each.post_id not in done], scope)

    async def _window(self, skeleton: Skeleton, span: Span, coverage: Coverage) -> list[Hydrated]:
        """The newest posts that may be ranked: at most so many of each pulled author."""
        window: list[Hydrated] = []
        most = self._rules.relevance.posts_per_pulled_author
        pulled: Counter[str] = Counter()
        merge = Merge(skeleton.sources)
        visible = _visible(skeleton.visible, span)

        def keep(each: Candidate) -> bool:
            return visible(each) and (each.source == "push" or pulled[each.author_id] < most)

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

    def _rank(self, window: list[Hydrated]) -> list[Hydrated]:
        now_ms = self._clock.now_ms()
        rule = self._rules.relevance
        # Stable: of equals the newer stays first.
        return sorted(
            window,
            key=lambda each: relevance(rule, age_ms=now_ms - created_at_ms(each.post.post_id)),
            reverse=True,
        )

    def _span(self, before: UUID | None) -> Span:
        return Span(before, self._clock.now_ms() - self._rules.retention_ms)


def _visible(authors: frozenset[str], span: Span) -> Callable[[Candidate], bool]:
    oldest = -first_post_id_at(max(0, span.since_ms)).int
    return lambda each: each.author_id in authors and each.order <= oldest


def _frozen(ranked: Sequence[Hydrated]) -> list[Ranked]:
    return [Ranked(each.post.post_id, each.source) for each in ranked]


def _rest(ranked: Sequence[Ranked], scope: str) -> str | None:
    return ranked_cursor(ranked, scope=scope) if ranked else None


def _refuse_nothing(shown: Sequence[Hydrated], coverage: Coverage) -> None:
    """An empty page is an answer only if somebody was there to say so."""
    nobody = bool(coverage.missing) and not coverage.answered - {"graph"}
    if not shown and (nobody or coverage.without_content):
        raise Unavailable("no source of the feed could be asked")
