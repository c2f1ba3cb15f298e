"""Celebrities' posts: which of a viewer's authors are pulled, and the newest posts of each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import repeat
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ports import PulledAuthors
from fanfold.core.settings import Settings
from feed_service.budget import within
from feed_service.caches.cache import SHARED_S, Cache
from feed_service.caches.pulled_set import PulledSet
from feed_service.caches.shared_reads import HEAD_POSTS, SharedReads
from feed_service.candidates import Page, candidates


class Celebrities:
    """Reads `PulledAuthors` and `celebrity_posts` through memory."""

    def __init__(
        self,
        pulled_authors: PulledAuthors,
        shared: SharedReads,
        *,
        settings: Settings,
        clock: Clock,
        budget_s: float,
    ) -> None:
        self._shared = shared
        self._clock = clock
        self._refresh_s = settings.pulled_refresh_s
        self._budget_s = budget_s
        self._pulled = PulledSet(pulled_authors, clock=clock, budget_s=budget_s)
        self._newest: Cache[str, Page] = Cache(
            "celebrity_heads",
            self._load_newest,
            size=settings.cached_heads,
            ttl_s=SHARED_S,
            clock=clock,
        )

    async def begin(self) -> None:
        """Read the set of pulled authors, unless that takes long."""
        await self._pulled.begin()

    async def refresh_forever(self) -> None:
        """Keep the set of pulled authors up to date for ever."""
        await self._pulled.refresh_forever(self._refresh_s)

    async def newest(self, authors: frozenset[str]) -> dict[str, Page | None]:
        """The newest posts of each of these authors who is pulled; None where unavailable.

        Raises `Unavailable` when it isn't even known which authors are pulled.
        """
        # The set is read before the posts are. Of the two sets the shorter one is gone through; either may have thousands.
        pulled = authors & await self._pulled.get()
        pages = await self._newest.get(pulled)
        return {author_id: pages.get(author_id) for author_id in pulled}

    async def page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The pulled posts of an author that follow a post. Raises `Unavailable`."""
        asked = self._shared.pulled_page(author_id, before=before, since_ms=since_ms)
        return _page(author_id, await within(self._budget_s, asked))

    def drop(self, author_id: str) -> None:
        """Read the author's newest posts again."""
        self._newest.drop(author_id)

    async def close(self) -> None:
        """Cancel the loads in flight."""
        await self._pulled.close()
        await self._newest.close()

    async def _load_newest(self, author_ids: Collection[str]) -> dict[str, Page]:
        pages = await self._shared.pulled(author_ids)
        return {author_id: _page(author_id, numbers) for author_id, numbers in pages.items()}


def _page(author_id: str, numbers: Sequence[int]) -> Page:
    found = candidates(numbers, repeat(author_id), "pull")
    return Page(found, more=len(found) == HEAD_POSTS)
