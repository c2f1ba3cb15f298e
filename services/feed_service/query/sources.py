"""The skeleton of a feed: where a reader's posts come from, as sources for the merge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from uuid import UUID

from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Timelines
from feed_service.budget import within
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.celebrities import Celebrities
from feed_service.candidates import Candidate, Head, Page
from feed_service.presence import Presence
from feed_service.query.access import refuse_left
from feed_service.query.coverage import Coverage, SourceName
from feed_service.query.merge import FetchPage, Source

_NEXT_ROWS = (500, 1000, 2000, 4000)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A reader's sources, in order of precedence, and the authors whose posts may be shown."""

    sources: list[Source]
    visible: frozenset[str]


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a feed that is asked for: older than `before`, not older than `since_ms`."""

    before: UUID | None
    since_ms: int


def visible(authors: frozenset[str], span: Span) -> Callable[[Candidate], bool]:
    """Whether a candidate may be shown: by one of these authors, and not older than the span."""
    oldest = -first_post_id_at(max(0, span.since_ms)).int
    return lambda each: each.author_id in authors and each.order <= oldest


class Sources:
    """Opens a reader's sources: own posts, the timeline, followees under backfill, celebrities."""

    def __init__(
        self,
        reads: CachedReads,
        celebrities: Celebrities,
        timelines: Timelines,
        *,
        presence: Presence,
        budget_s: float,
    ) -> None:
        self._presence = presence
        self._reads = reads
        self._celebrities = celebrities
        self._timelines = timelines
        self._budget_s = budget_s

    async def skeleton(
        self,
        viewer: str,
        span: Span,
        *,
        wanted: int,
        coverage: Coverage,
        pull_too: frozenset[str] = frozenset(),
    ) -> Skeleton:
        """What a feed read of about `wanted` posts merges. Sources that are unavailable are left out and noted.

        The authors of `pull_too`, if visible, are pulled whether their posts are in the timeline or not.

        Answers 404 to a viewer who has left. Without the graph only the own posts remain: pointers of others can't be
        told from leftovers.
        """
        # The timeline after the graph, never beside its load: a backfill that ends between the two would be
        # missed by a timeline that was read before it, and vouched for by a graph that was read after it.
        if (graph := self._reads.cached_viewer_graph(viewer)) is not None:
            coverage.answered.add("graph")
        else:
            graph = await coverage.ask("graph", self._reads.viewer_graph(viewer))
        if graph is not None:
            refuse_left(graph)
            self._presence.seen(viewer, asleep_at=graph.asleep_at)
        own_posts = self._authored((viewer,), span, coverage)
        if graph is None:
            return Skeleton(await own_posts, frozenset((viewer,)))
        own, timeline = await asyncio.gather(
            own_posts, self._timeline(viewer, span, wanted, coverage)
        )
        sources = [timeline, *own]
        pulled_too = (pull_too & graph.visible).difference(graph.unmaterialised, (viewer,))
        if graph.unmaterialised or pulled_too:
            authors = (*graph.unmaterialised, *pulled_too)
            name: SourceName = "rebuilding" if graph.asleep else "posts"
            sources += await self._authored(authors, span, coverage, name=name)
        sources += await self._pulled(graph.visible, span, coverage)
        return Skeleton(sources, graph.visible)

    async def _timeline(self, viewer: str, span: Span, wanted: int, coverage: Coverage) -> Source:
        # A few more than wanted: some will turn out deleted or no longer followed. Who needs another page has many
        # pointers that don't count any more, so the pages grow.
        sizes = chain((wanted + wanted // 4 + 4,), _NEXT_ROWS, repeat(_NEXT_ROWS[-1]))

        async def fetch(before: UUID | None) -> Page:
            rows = next(sizes)
            asked = self._timelines.timeline(
                viewer, before=before, since_ms=span.since_ms, limit=rows
            )
            pointers = await coverage.ask("timeline", within(self._budget_s, asked))
            if pointers is None:
                return Page((), more=False)
            found = [Candidate(-post_id.int, author_id, "push") for post_id, author_id in pointers]
            return Page(found, more=len(found) == rows)

        first = await fetch(span.before)
        before = first.candidates[-1].post_id if first.candidates else span.before
        return Source(first.candidates, fetch if first.more else None, before)

    async def _authored(
        self,
        author_ids: tuple[str, ...],
        span: Span,
        coverage: Coverage,
        *,
        name: SourceName = "posts",
    ) -> list[Source]:
        heads = await self._reads.authored(author_ids)
        if heads:
            coverage.answered.add(name)
        if len(heads) < len(author_ids):
            coverage.missing.add(name)

        def following(author_id: str) -> FetchPage:
            async def fetch(before: UUID | None) -> Page:
                page = self._reads.authored_page(author_id, before=before, since_ms=span.since_ms)
                return await coverage.ask(name, page) or Page((), more=False)

            return fetch

        return [
            Source.of_head(head, before=span.before, fetch=following(author_id))
            for author_id, head in heads.items()
        ]

    async def _pulled(
        self, authors: frozenset[str], span: Span, coverage: Coverage
    ) -> list[Source]:
        heads = await coverage.ask(
            "celebrities", self._celebrities.heads(authors, since_ms=span.since_ms)
        )
        if heads is None:
            return []
        if None in heads.values():
            coverage.missing.add("celebrities")
        return [
            self._celebrity(author_id, head, span, coverage)
            for author_id, head in heads.items()
            if head is not None
        ]

    def _celebrity(self, author_id: str, head: Head, span: Span, coverage: Coverage) -> Source:
        async def fetch(before: UUID | None) -> Page:
            page = self._celebrities.page(author_id, before=before, since_ms=span.since_ms)
            return await coverage.ask("celebrities", page) or Page((), more=False)

        return Source.of_head(head, before=span.before, fetch=fetch, author_id=author_id)
