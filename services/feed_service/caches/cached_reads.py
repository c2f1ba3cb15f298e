"""What a feed reads, as one process reads it: through the shared cache, and in front of that a memory of half a second.

This memory holds what many readers share: posts, names, celebrities' newest posts. A viewer's own values are read each time. No process
follows the log: what it spends does not grow with what others write, and a change is seen half a second after the tables show it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ports import Counted, Post
from fanfold.core.settings import Settings
from fanfold.http.post_resource import Author
from feed_service.caches.cache import SHARED_S, Cache
from feed_service.caches.celebrities import Celebrities
from feed_service.caches.recent_likes import RecentLikes
from feed_service.caches.shared_reads import SharedReads
from feed_service.caches.viewer_graph import ViewerGraph
from feed_service.candidates import Page


class CachedReads:
    """Every method takes no longer than the cache's timeout and the time budget of a source, and raises `Unavailable`.

    Those that read many keys raise `Incomplete`, with what the caches had.
    """

    def __init__(
        self,
        shared: SharedReads,
        celebrities: Celebrities,
        *,
        settings: Settings,
        clock: Clock,
        kept_s: float = SHARED_S,
    ) -> None:
        self.celebrities = celebrities
        self._shared = shared
        self._settings = settings
        self._clock = clock
        # By the integer in the id, whose hash is several times faster than the UUID's.
        self._posts: Cache[int, Post] = Cache(
            "posts", shared.posts, size=settings.cached_posts, ttl_s=kept_s, clock=clock
        )
        self._counted: Cache[int, Counted] = Cache(
            "counts", shared.counted, size=settings.cached_posts, ttl_s=kept_s, clock=clock
        )
        self._names: Cache[str, Author | None] = Cache(
            "names", shared.names, size=settings.cached_names, ttl_s=kept_s, clock=clock
        )

    def past(self, keys: frozenset[str]) -> CachedReads:
        """The same reads for one request, which takes nothing from this process's memory, and these keys from the tables."""
        return CachedReads(
            replace(self._shared, passed_by=keys),
            self.celebrities,
            settings=self._settings,
            clock=self._clock,
            kept_s=0,
        )

    async def of_viewer(self, user_id: str) -> CachedReads:
        """The same reads for one feed of this viewer, whose own values the shared cache is asked for at once."""
        reads = CachedReads.__new__(CachedReads)
        reads.__dict__.update(self.__dict__)  # what `copy` does, at a third of the time
        reads._shared = await self._shared.of_viewer(user_id)  # noqa: SLF001 - a copy of this object
        return reads

    @property
    def viewer_is_cached(self) -> bool:
        """Whether what only the viewer reads needs no table, but for the timeline. Ask between the graph and the rest."""
        return self._shared.all_asked_held

    async def viewer_graph(self, user_id: str) -> ViewerGraph:
        """Which authors a viewer sees."""
        return await self._shared.viewer_graph(user_id)

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> Page:
        """The part of a timeline that follows a post."""
        return await self._shared.timeline(user_id, before=before, since_ms=since_ms, limit=limit)

    async def authored(self, author_ids: Collection[str]) -> dict[str, Page]:
        """The newest posts of authors within the retention window; an author who is unavailable is absent."""
        return await self._shared.authored(author_ids)

    async def authored_page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The author's posts that follow a post."""
        return await self._shared.authored_page(author_id, before=before, since_ms=since_ms)

    async def posts(self, numbers: Collection[int]) -> dict[int, Post]:
        """The posts that exist, deleted ones too, by the integers in their ids."""
        return await self._posts.get(numbers)

    def knows_names(self, user_ids: Collection[str]) -> bool:
        """Whether the names of all these users are remembered, so that they are found at once."""
        return self._names.holds(user_ids)

    async def counted(self, numbers: Collection[int]) -> dict[int, Counted]:
        """What ranking needs of the posts that exist, by the integers in their ids."""
        return await self._counted.get(numbers)

    async def names(self, user_ids: Collection[str]) -> dict[str, Author | None]:
        """Each user's display name, without one the id, and avatar; None for users who have left: nothing of theirs is shown."""
        return await self._names.get(user_ids)

    async def recent_likes(self, user_id: str) -> RecentLikes:
        """A viewer's last likes."""
        return await self._shared.recent_likes(user_id)

    async def liked(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        """Which of these posts a user likes, from the tables."""
        return await self._shared.liked(user_id, post_ids)

    def drop(self, keys: Collection[str]) -> None:
        """Forget what this process remembers of these keys of the shared cache, which has something newer."""
        for key in keys:
            kind, _, of = key.partition(":")
            match kind:
                case "post" | "like_count":
                    self._posts.drop(UUID(of).int)
                    self._counted.drop(UUID(of).int)
                case "name":
                    self._names.drop(of)
                case "pulled":
                    self.celebrities.drop(of)

    async def close(self) -> None:
        """Cancel the loads in flight."""
        for part in (self._posts, self._counted, self._names, self.celebrities):
            await part.close()
