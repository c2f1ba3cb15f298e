"""Pulled authors and their newest posts. The list of pulled authors is in memory, and renewed twice a second."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.ports import Pulled, Timelines
from fanfold.core.settings import Settings
from feed_service.budget import within
from feed_service.caches.cache import Cache
from feed_service.caches.shared_reads import HEAD_POSTS, SharedReads
from feed_service.candidates import Candidate, Page

_LOG = logging.getLogger(__name__)

_HEAD_S = 60.0
_MAX_AGE_S = 1.0  # of the list of pulled authors; the overlap of push and pull covers it


class Celebrities:
    """Reads `pulled_authors` and `celebrity_posts` through memory."""

    def __init__(
        self,
        timelines: Timelines,
        shared: SharedReads,
        *,
        settings: Settings,
        clock: Clock,
        budget_s: float,
    ) -> None:
        self._timelines = timelines
        self._shared = shared
        self._clock = clock
        self._refresh_s = settings.pulled_refresh_s
        self._budget_s = budget_s
        self._pulled_authors: Cache[None, Mapping[str, Pulled]] = Cache(
            "pulled_authors", self._load_pulled_authors, size=1, ttl_s=_MAX_AGE_S, clock=clock
        )
        # By author and version. A new post is a new version, so an older page is never found again.
        self._newest: Cache[tuple[str, int], Page] = Cache(
            "celebrity_heads",
            self._load_newest,
            size=settings.cached_heads,
            ttl_s=_HEAD_S,
            clock=clock,
        )

    async def refresh_forever(self) -> None:
        """Renew the list of pulled authors for ever. While the store is away, feeds report it missing, and this tries on."""
        while True:
            try:
                await self._pulled_authors.refresh(None)
            except Transient as error:
                _LOG.warning("the pulled authors can't be read: %s", error)
            await self._clock.sleep(self._refresh_s)

    async def newest(self, authors: frozenset[str], *, since_ms: int) -> dict[str, Page | None]:
        """The newest posts of each of these authors who was pulled since then; None where unavailable.

        Raises `Unavailable` when it isn't even known which authors are pulled.
        """
        pulled = (await self._pulled_authors.get((None,)))[None]
        # Iterate over the shorter one: either may have thousands.
        found = (
            filter(pulled.__contains__, authors)
            if len(authors) < len(pulled)
            else filter(authors.__contains__, pulled)
        )
        # The version was read before the posts are: a page may hold more than its version, never less.
        versions = {
            author_id: (author_id, pulled[author_id].version)
            for author_id in found
            if pulled[author_id].last_pulled_at_ms >= since_ms
        }
        pages = await self._newest.get(versions.values())
        return {author_id: pages.get(version) for author_id, version in versions.items()}

    async def page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The pulled posts of an author that follow a post. Raises `Unavailable`."""
        asked = self._shared.pulled_page(author_id, before=before, since_ms=since_ms)
        return _page(author_id, await within(self._budget_s, asked))

    def drop(self, author_id: str) -> None:
        """Read the author's newest posts again."""
        # They are kept by version, and the new one is in the list.
        self._pulled_authors.drop(None)

    async def close(self) -> None:
        """Cancel the loads in flight."""
        await self._pulled_authors.close()
        await self._newest.close()

    async def _load_pulled_authors(self, _: Collection[None]) -> dict[None, Mapping[str, Pulled]]:
        return {None: await within(self._budget_s, self._timelines.pulled_authors())}

    async def _load_newest(
        self, versions: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], Page]:
        wanted = dict(versions)
        pages = await self._shared.pulled(wanted)
        return {
            (author_id, wanted[author_id]): _page(author_id, post_ids)
            for author_id, post_ids in pages.items()
        }


def _page(author_id: str, post_ids: Sequence[UUID]) -> Page:
    found = [Candidate(-post_id.int, author_id, "pull") for post_id in post_ids]
    return Page(found, more=len(found) == HEAD_POSTS)
