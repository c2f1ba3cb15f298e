"""The k-way merge of newest-first sources into one newest-first list without duplicates: pure but for its pages.

Why it is exact. Every source is strictly newest first. A candidate is emitted only while each source either shows
its next candidate (its *head*) or is exhausted, and the newest head is chosen. The rest of a source is older than its
head, so nothing newer can follow. Equal candidates of several sources are heads at the same
time or in direct succession, hence comparing with the last one emitted finds every duplicate.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice
from operator import attrgetter
from uuid import UUID

from feed_service.candidates import Candidate, Page

_OLDEST = 1
"""Greater than every candidate's order: they are all negative."""

_order = attrgetter("order")

FetchPage = Callable[[UUID | None], Awaitable[Page]]
"""The page that follows a post (exclusive; None: the newest)."""


@dataclass(slots=True)
class Source:
    """A newest-first list of candidates: what is loaded, and how to go on (None: nothing follows).

    `author_id` is set when the source is a pulled author's own list, which a use may want to close.
    """

    loaded: Sequence[Candidate]
    fetch: FetchPage | None
    before: UUID | None = None
    next: int = 0
    author_id: str | None = None

    @classmethod
    def of_page(
        cls, page: Page, *, before: UUID | None, fetch: FetchPage, author_id: str | None = None
    ) -> Source:
        """The part of a cached page that is older than `before`, and what follows it."""
        found = page.candidates
        start = 0 if before is None else bisect_right(found, -before.int, key=_order)
        if not page.more:
            return cls(found, None, None, start, author_id)
        if start < len(found):
            before = found[-1].post_id
        return cls(found, fetch, before, start, author_id)


class Merge:
    """The merge of one feed. Of equal candidates the one of the first source (in the order given) is kept.

    It ends before the post `until`: that post and older ones are not offered, and no page is fetched for them.
    """

    def __init__(self, sources: Sequence[Source], *, until: UUID | None = None) -> None:
        self._sources = sources
        self._until = _OLDEST if until is None else -until.int
        self._heads: list[tuple[int, int]] = []
        self._without_head: list[int] = []
        self._emitted = _OLDEST
        for rank, source in enumerate(sources):
            if source.next < len(source.loaded):
                self._heads.append((source.loaded[source.next].order, rank))
            elif source.fetch is not None:
                self._without_head.append(rank)
        heapify(self._heads)

    async def take(self, count: int, keep: Callable[[Candidate], bool]) -> list[Candidate]:
        """The next `count` candidates that pass `keep`; fewer only when all sources are exhausted.

        Fetches pages only when they are needed for that, those of several sources at once.
        """
        taken: list[Candidate] = []
        while len(taken) < count and (self._heads or self._without_head):
            if self._without_head:
                await self._fetch_heads()
            self._emit(taken, count, keep)
        return taken

    def close(self, authors: Collection[str]) -> None:
        """Skip the rest of every source that belongs to one of these authors."""
        closed = {rank for rank, source in enumerate(self._sources) if source.author_id in authors}
        self._heads = [head for head in self._heads if head[1] not in closed]
        heapify(self._heads)
        self._without_head = [rank for rank in self._without_head if rank not in closed]

    def _emit(self, taken: list[Candidate], count: int, keep: Callable[[Candidate], bool]) -> None:
        """Emit until there are enough or a source has to show its next head."""
        heads, sources = self._heads, self._sources
        while heads and len(taken) < count and not self._without_head:
            newest, rank = heads[0]
            if newest >= self._until:
                heads.clear()
                return
            source = sources[rank]
            rival = min(_second(heads), self._until)
            self._emit_run(source, rival, taken, count, keep)
            if source.next < len(source.loaded):
                heapreplace(heads, (source.loaded[source.next].order, rank))
            else:
                heappop(heads)
                if source.fetch is not None:
                    self._without_head.append(rank)

    def _emit_run(
        self,
        source: Source,
        rival: int,
        taken: list[Candidate],
        count: int,
        keep: Callable[[Candidate], bool],
    ) -> None:
        """Emit the source's head, and what follows it as long as that is before every other head (`rival`)."""
        loaded, start = source.loaded, source.next
        end = start + 1
        if loaded[start].order == self._emitted:
            start = end
        if end < len(loaded) and loaded[end].order < rival:
            # Not one by one: most of a feed is a few runs of the timeline.
            if loaded[-1].order < rival:
                end = len(loaded)
            else:
                end = bisect_left(loaded, rival, end, key=_order)
        missing = count - len(taken)
        kept = list(islice(filter(keep, islice(loaded, start, end)), missing))
        if len(kept) == missing:
            end = bisect_right(loaded, kept[-1].order, start, end, key=_order)
        taken += kept
        source.next, self._emitted = end, loaded[end - 1].order

    async def _fetch_heads(self) -> None:
        ranks, self._without_head = self._without_head, []
        if len(ranks) == 1:
            await self._fetch_head(ranks[0])
        else:
            await asyncio.gather(*(self._fetch_head(rank) for rank in ranks))

    async def _fetch_head(self, rank: int) -> None:
        source = self._sources[rank]
        while source.fetch is not None:
            page = await source.fetch(source.before)
            source.loaded, source.next = page.candidates, 0
            if not page.more:
                source.fetch = None
            if page.candidates:
                source.before = page.candidates[-1].post_id
                heappush(self._heads, (page.candidates[0].order, rank))
                return


def _second(heads: list[tuple[int, int]]) -> int:
    """The order of the newest head but one: in a heap it is a child of the root."""
    if len(heads) > 2:
        return min(heads[1][0], heads[2][0])
    return heads[1][0] if len(heads) > 1 else _OLDEST
