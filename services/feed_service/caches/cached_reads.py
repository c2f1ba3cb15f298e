"""The tables as the feed reads them: through caches in this process, which the tail of the log keeps up to date, and the shared cache below.

Every method loads what isn't cached, once for all callers that ask at that time, and within the time budget of a
source. They raise `Unavailable`. The `cached_…` methods answer from memory alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, assert_never
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.events import (
    AwakeningBegun,
    Change,
    DeliveryChanged,
    Event,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    ViewerGraphChanged,
    to_ms,
)
from fanfold.core.ports import AuthoredPost, Post
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from feed_service.budget import within
from feed_service.caches.cache import Cache, Load, Loaded
from feed_service.caches.celebrities import Celebrities
from feed_service.caches.pending import PENDING_S, CellState, Pending
from feed_service.caches.recent_likes import LISTED, RecentLikes, hidden_likes, shows_likes
from feed_service.caches.shared_reads import OWN_POSTS, SharedReads
from feed_service.caches.viewer_graph import ViewerGraph
from feed_service.candidates import Candidate, Page

K = TypeVar("K")
V = TypeVar("V")

COUNTS_S = 0.5
"""Maximum extra staleness of a like count. A viral post is liked a thousand times a second and shown as often: reading
its row after each like would make it a hot one, and caching only rows that count every like would cache nothing."""

_BACKFILLING_S = 1.0  # no event reports the end of a backfill, so such a graph is soon read again
_AS_LONG_AS_POSSIBLE = float("inf")


class CachedReads:
    """Viewer graphs, recent likes, authors' newest posts, posts with like counts, authors' names; and celebrities' posts."""

    def __init__(
        self,
        engines: Engines,
        *,
        settings: Settings,
        clock: Clock,
        trusted: Callable[[], bool],
        budget_s: float,
        listed_likes: int = LISTED,
    ) -> None:
        self._stores = stores = engines.stores
        self._shared = shared = SharedReads(
            stores, engines.cache, settings=settings, clock=clock, budget_s=budget_s
        )
        self._clock = clock
        self._trusted = trusted
        self._budget_s = budget_s
        self._listed_likes = listed_likes
        self._pending = Pending(clock)
        self.celebrities = Celebrities(
            stores.timelines, shared, settings=settings, clock=clock, budget_s=budget_s
        )

        def cache(name: str, load: Load[K, V], size: int) -> Cache[K, V]:
            ttl_s = settings.cache_ttl_s
            return Cache(name, load, size=size, ttl_s=ttl_s, clock=clock, trusted=trusted)

        viewers = settings.cached_viewer_graphs
        self._viewer_graphs = cache("viewer_graphs", self._load_viewer_graph, viewers)
        self._authored = cache("authored_posts", self._load_authored, viewers)
        # By the integer in the id, whose hash is several times faster than the UUID's.
        self._posts = cache("posts", self._load_posts, settings.cached_posts)
        self._names = cache("names", self._load_names, settings.cached_names)
        self._recent_likes = cache("recent_likes", self._load_recent_likes, viewers)

    async def viewer_graph(self, user_id: str) -> ViewerGraph:
        """Which authors a viewer sees."""
        return (await self._viewer_graphs.get((user_id,)))[user_id]

    def cached_viewer_graph(self, user_id: str) -> ViewerGraph | None:
        return self._viewer_graphs.cached((user_id,)).get(user_id)

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> Page:
        """The part of a timeline that follows a post."""
        asked = self._shared.timeline(user_id, before=before, since_ms=since_ms, limit=limit)
        return await within(self._budget_s, asked)

    async def authored(self, author_ids: Collection[str]) -> dict[str, Page]:
        """The newest posts of authors within the retention window; an author who is unavailable is absent."""
        return await self._authored.get(author_ids)

    def cached_authored(self, author_id: str) -> Page | None:
        return self._authored.cached((author_id,)).get(author_id)

    async def authored_page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The author's posts that follow a post, uncached."""
        asked = self._shared.authored_page(author_id, before=before, since_ms=since_ms)
        pointers = await within(self._budget_s, asked)
        return _authored_page(author_id, pointers)

    async def posts(self, numbers: Collection[int]) -> dict[int, Post]:
        """The posts that exist, deleted ones too, by the integers in their ids."""
        return await self._posts.get(numbers)

    def cached_posts(self, numbers: Collection[int]) -> dict[int, Post]:
        return self._posts.cached(numbers)

    async def names(self, user_ids: Collection[str]) -> dict[str, str | None]:
        """Each user's display name, without one the id; None for users who have left: nothing of theirs is shown."""
        return await self._names.get(user_ids)

    def cached_names(self, user_ids: Collection[str]) -> dict[str, str | None]:
        return self._names.cached(user_ids)

    def assumed_names(self, user_ids: Collection[str]) -> dict[str, str | None]:
        """The names to show while the users' rows are unavailable: where no name is cached the id, unless the log says that the user left."""
        assumed = {
            user_id: None if self._pending.has_left(user_id) else user_id for user_id in user_ids
        }
        return assumed | self._names.cached(user_ids)

    async def recent_likes(self, user_id: str) -> RecentLikes:
        """What a viewer has liked last."""
        return (await self._recent_likes.get((user_id,)))[user_id]

    def cached_recent_likes(self, user_id: str) -> RecentLikes | None:
        return self._recent_likes.cached((user_id,)).get(user_id)

    async def liked(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        """Which of these posts a user likes, uncached."""
        return await within(self._budget_s, self._stores.likes.of_user(user_id, post_ids))

    async def forget(self, event: Event) -> None:
        """Make the shared cache forget what an event changed, once the tables show it."""
        await self._shared.forget(event)

    def apply(self, event: Event, offset: int) -> None:
        """Note what an event of the log changes; in whichever order."""
        for change in event.changes():
            self._apply(change, offset)

    def apply_awaited(self, event: Event, offset: int) -> None:
        """The same for an event that the tables show already: whatever is read from now on shows it too."""
        for change in event.changes():
            if isinstance(change, NameChanged) and self._is_forgotten(change.registered_at):
                # A name that the log has lately set counts before the table's. An older one may have been changed since by
                # an event that is no longer pending.
                self._names.drop(change.user_id)
                continue
            if isinstance(change, LikeChanged):
                self._pending.count_awaited(change.post_id, offset)
                self._posts.drop(change.post_id.int)
            self._apply(change, offset)

    def _apply(self, change: Change, offset: int) -> None:
        match change:
            case PostAdded(author_id, post_id):
                self._pending.post_created(author_id, post_id, offset)
                self._authored.drop(author_id)
            case PostChanged(post_id=post_id):
                self._pending.post_changed(post_id, offset)
                self._posts.drop(post_id.int)
            case LikeChanged(user_id=user_id, post_id=post_id, active=active):
                self._pending.like_changed(user_id, post_id, CellState(active, offset))
                self._recent_likes.drop(user_id)
                self._posts.expire(post_id.int, COUNTS_S)
            case NameChanged(user_id, display_name):
                self._pending.renamed(user_id, display_name, offset)
                self._names.drop(user_id)
            case UserGone(user_id):
                self._pending.user_left(user_id)
                self._names.drop(user_id)
                self._viewer_graphs.drop(user_id)
            case ViewerGraphChanged(viewer_id, cell, active):
                self._pending.viewer_graph_changed(viewer_id, cell, CellState(active, offset))
                self._viewer_graphs.drop(viewer_id)
            case AwakeningBegun() | DeliveryChanged():
                # A woken user stays asleep until the timeline is filled. An author's delivery is cached nowhere.
                pass
            case _:
                assert_never(change)

    def _is_forgotten(self, happened_at: datetime) -> bool:
        """Whether later changes may no longer be pending."""
        return self._clock.now_ms() - to_ms(happened_at) >= PENDING_S * 1000

    async def close(self) -> None:
        """Cancel the loads in flight."""
        caches = self._viewer_graphs, self._authored, self._posts, self._names, self._recent_likes
        for part in (*caches, self.celebrities):
            await part.close()

    async def _load_viewer_graph(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Loaded[ViewerGraph]]:
        (user_id,) = user_ids
        # What is cached doesn't tell whether it shows a change that is pending; the rows do.
        asked = self._shared.viewer_graph(
            user_id, from_tables=self._pending.changes_viewer_graph(user_id)
        )
        graph, rows = await within(self._budget_s, asked)
        if self._pending.has_left(user_id):
            graph = replace(graph, left=True)
        keep_s = 0.0
        if self._pending.shows_viewer_graph(user_id, rows):
            keep_s = _BACKFILLING_S if graph.unmaterialised else _AS_LONG_AS_POSSIBLE
        return {user_id: Loaded(graph, keep_s)}

    async def _load_authored(self, author_ids: Collection[str]) -> Mapping[str, Loaded[Page]]:
        newest = await self._shared.authored(author_ids)
        old = [
            author_id
            for author_id, pointers in newest.items()
            if not self._pending.shows_authored(author_id, pointers)
        ]
        for author_id in old:
            del newest[author_id]
        if old:
            newest |= await self._shared.authored(old, from_tables=True)
        return {
            author_id: Loaded(
                _authored_page(author_id, pointers),
                _keep_s(self._pending.shows_authored(author_id, pointers)),
            )
            for author_id, pointers in newest.items()
        }

    async def _load_posts(self, numbers: Collection[int]) -> Mapping[int, Loaded[Post]]:
        posts = await within(self._budget_s, self._shared.posts(numbers))
        return {number: Loaded(post, self._keep_post_s(post)) for number, post in posts.items()}

    def _keep_post_s(self, post: Post) -> float:
        if not self._pending.shows_post(post):
            return 0.0
        return _AS_LONG_AS_POSSIBLE if self._pending.shows_count(post) else COUNTS_S

    async def _load_names(self, user_ids: Collection[str]) -> Mapping[str, Loaded[str | None]]:
        rows = await within(self._budget_s, self._shared.names(user_ids))
        names: dict[str, Loaded[str | None]] = {}
        for user_id in user_ids:
            display_name, left = rows[user_id]
            # Leaving is final, so it doesn't matter whether the row or the log knows of it.
            if left or self._pending.has_left(user_id):
                names[user_id] = Loaded(None, _AS_LONG_AS_POSSIBLE)
                continue
            name, up_to_date = display_name or user_id, True
            last_set = self._pending.name_of(user_id)
            if last_set and last_set != name:
                # The worker will write it; but a tail that is behind may know less than the table.
                up_to_date = self._trusted()
                name = last_set if up_to_date else name
            names[user_id] = Loaded(name, _keep_s(up_to_date))
        return names

    async def _load_recent_likes(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Loaded[RecentLikes]]:
        (user_id,) = user_ids
        # What is cached may lack a change that is pending; then the tables may show it.
        changes = self._pending.likes_of(user_id)
        asked = self._shared.recent_likes(
            user_id, listed=self._listed_likes, from_tables=bool(changes)
        )
        recent = await within(self._budget_s, asked)
        hidden = hidden_likes(recent, self._pending.likes_of(user_id))
        offsets = await within(self._budget_s, self._shared.like_offsets(user_id, hidden))
        up_to_date = shows_likes(recent, self._pending.likes_of(user_id), offsets)
        return {user_id: Loaded(recent, _keep_s(up_to_date))}


def _keep_s(up_to_date: bool) -> float:
    return _AS_LONG_AS_POSSIBLE if up_to_date else 0.0


def _authored_page(author_id: str, pointers: Sequence[AuthoredPost]) -> Page:
    found = [
        Candidate(-post_id.int, author_id, delivery or "push") for post_id, delivery in pointers
    ]
    return Page(found, more=len(found) == OWN_POSTS)
