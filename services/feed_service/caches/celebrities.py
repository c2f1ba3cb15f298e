"""Pulled authors: who they are, in memory and renewed twice a second, and their newest posts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.ports import Pulled, Timelines
from fanfold.core.settings import Settings
from feed_service.budget import each_within, within
from feed_service.caches.cache import Cache, Freshness, Loaded
from feed_service.candidates import Head, Page, candidate

_LOG = logging.getLogger(__name__)

HEAD_POSTS = 50
"""Newest posts kept of each celebrity: a first page of the feed never needs more than one query to go on."""

_SNAPSHOT_MAX_AGE_S = 1.0  # the overlap of push and pull covers this delay
_AS_LONG_AS_POSSIBLE = float("inf")


class _Version(NamedTuple):
    """A head's key: a new post is a new version, so an old head is never found again."""

    author_id: str
    version: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    authors: Mapping[str, Pulled]
    ids: frozenset[str]


class Celebrities:
    """Reads `pulled_authors` and `celebrity_posts` through memory."""

    def __init__(
        self, timelines: Timelines, *, settings: Settings, clock: Clock, budget_s: float
    ) -> None:
        self._timelines = timelines
        self._clock = clock
        self._retention_ms = settings.retention_ms
        self._refresh_s = settings.pulled_refresh_s
        self._budget_s = budget_s
        self._snapshot: Cache[None, _Snapshot] = Cache(
            "pulled_authors",
            self._load_snapshot,
            size=1,
            freshness=Freshness(_SNAPSHOT_MAX_AGE_S, clock),
        )
        self._heads: Cache[_Version, Head] = Cache(
            "celebrity_heads",
            self._load_heads,
            size=settings.cached_heads,
            freshness=Freshness(settings.cache_ttl_s, clock),
        )

    async def refresh_forever(self) -> None:
        """Renew the set of pulled authors for ever; while the store is away readers are told, and it tries on."""
        while True:
            try:
                await self._snapshot.refresh(None)
            except Transient as error:
                _LOG.warning("the pulled authors can't be read: %s", error)
            await self._clock.sleep(self._refresh_s)

    async def heads(self, authors: frozenset[str], *, since_ms: int) -> dict[str, Head | None]:
        """The newest posts of each of these authors who was pulled since then; None where unavailable.

        Raises `Unavailable` when it isn't even known who is pulled.
        """
        snapshot = (await self._snapshot.get((None,)))[None]
        wanted = []
        for author_id in authors & snapshot.ids:
            pulled = snapshot.authors[author_id]
            if pulled.last_pulled_at_ms >= since_ms:
                # The version was read before the head is: a head may hold more than its version, never less.
                wanted.append(_Version(author_id, pulled.version))
        heads = await self._heads.get(wanted)
        return {version.author_id: heads.get(version) for version in wanted}

    async def page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The pulled posts of an author that follow a post. Raises `Unavailable`."""
        return await within(self._budget_s, self._page(author_id, before, since_ms))

    async def close(self) -> None:
        """Stop what is loading."""
        await self._snapshot.close()
        await self._heads.close()

    async def _load_snapshot(self, _: Collection[None]) -> dict[None, Loaded[_Snapshot]]:
        authors = await within(self._budget_s, self._timelines.pulled_authors())
        return {None: Loaded(_Snapshot(authors, frozenset(authors)), _AS_LONG_AS_POSSIBLE)}

    async def _load_heads(self, versions: Collection[_Version]) -> dict[_Version, Loaded[Head]]:
        since_ms = self._clock.now_ms() - self._retention_ms
        pages = await each_within(
            self._budget_s,
            versions,
            lambda version: self._page(version.author_id, None, since_ms),
        )
        return {
            version: Loaded(Head(page.candidates, more=page.more), _AS_LONG_AS_POSSIBLE)
            for version, page in pages.items()
        }

    async def _page(self, author_id: str, before: UUID | None, since_ms: int) -> Page:
        post_ids = await self._timelines.pulled(
            author_id, before=before, since_ms=since_ms, limit=HEAD_POSTS
        )
        found = [candidate(post_id, author_id, "pull") for post_id in post_ids]
        return Page(found, more=len(found) == HEAD_POSTS)
