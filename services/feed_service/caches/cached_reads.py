"""The tables as the feed reads them: through caches that the tail of the log keeps honest.

Every method loads what isn't cached, once for all who ask at that time, within the time budget of a source; they
raise `Unavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never
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
from fanfold.core.ports import AuthoredPost, Post, Stores
from fanfold.core.settings import Settings
from feed_service.budget import each_within, within
from feed_service.caches.cache import Cache, Freshness, Loaded
from feed_service.caches.pending import PENDING_S, Held, Pending
from feed_service.caches.people import Person, person
from feed_service.caches.recent_likes import (
    LISTED,
    RecentLikes,
    hidden_likes,
    recent_likes_of,
    shows_likes,
)
from feed_service.caches.viewer_graph import ViewerGraph, read_viewer_graph
from feed_service.candidates import Head, Page, candidate

OWN_POSTS = 20
"""Newest own posts kept of a reader. Rarely do more of them stand on one page."""

COUNTS_S = 0.5
"""How old a like count may be besides. A viral post is liked a thousand times a second and shown as often: reading it
again after each like would make its row a hot one, and keeping only what counts every like would keep nothing."""

_MOST_LOOKED_UP = 20  # old likes, liked again; a list of recent likes with more of them is not kept
_BACKFILLING_S = (
    1.0  # no event tells that a backfill has finished, so such a graph is soon read again
)
_AS_LONG_AS_POSSIBLE = float("inf")


class CachedReads:
    """Viewer graphs, recent likes, authors' newest posts, posts with like counts, and authors' names."""

    def __init__(
        self,
        stores: Stores,
        *,
        settings: Settings,
        clock: Clock,
        trusted: Callable[[], bool],
        budget_s: float,
        listed_likes: int = LISTED,
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._retention_ms = settings.retention_ms
        self._trusted = trusted
        self._budget_s = budget_s
        self._listed_likes = listed_likes
        self._pending = Pending(clock)

        freshness = Freshness(settings.cache_ttl_s, clock, trusted)
        readers = settings.cached_viewer_graphs
        self._viewer_graphs: Cache[str, ViewerGraph] = Cache(
            "viewer_graphs", self._load_viewer_graph, size=readers, freshness=freshness
        )
        self._authored: Cache[str, Head] = Cache(
            "authored_posts", self._load_authored, size=readers, freshness=freshness
        )
        # By the integer in the id, whose hash is several times faster than the UUID's.
        self._posts: Cache[int, Post] = Cache(
            "posts", self._load_posts, size=settings.cached_posts, freshness=freshness
        )
        self._names: Cache[str, Person] = Cache(
            "names", self._load_names, size=settings.cached_names, freshness=freshness
        )
        self._recent_likes: Cache[str, RecentLikes] = Cache(
            "recent_likes", self._load_recent_likes, size=readers, freshness=freshness
        )

    async def viewer_graph(self, user_id: str) -> ViewerGraph:
        """Whose posts a user sees."""
        return (await self._viewer_graphs.get((user_id,)))[user_id]

    def cached_viewer_graph(self, user_id: str) -> ViewerGraph | None:
        """The same, if it needs no store."""
        return self._viewer_graphs.cached((user_id,)).get(user_id)

    async def authored(self, author_ids: Collection[str]) -> dict[str, Head]:
        """The newest posts of authors within the retention window; an author who is unavailable is absent."""
        return await self._authored.get(author_ids)

    async def authored_page(self, author_id: str, *, before: UUID | None, since_ms: int) -> Page:
        """The author's posts that follow a post, uncached."""
        pointers = await within(self._budget_s, self._pointers(author_id, before, since_ms))
        return _authored_page(author_id, pointers)

    async def posts(self, numbers: Collection[int]) -> dict[int, Post]:
        """The posts that exist, deleted ones too, by the integers in their ids."""
        return await self._posts.get(numbers)

    def cached_posts(self, numbers: Collection[int]) -> dict[int, Post]:
        """The same as far as no store is needed."""
        return self._posts.cached(numbers)

    async def people(self, user_ids: Collection[str]) -> dict[str, Person]:
        """Everyone's name, and whether they have left."""
        return await self._names.get(user_ids)

    def cached_people(self, user_ids: Collection[str]) -> dict[str, Person]:
        """The same as far as no store is needed."""
        return self._names.cached(user_ids)

    def people_unasked(self, user_ids: Collection[str]) -> dict[str, Person]:
        """What is known of everyone while the graph is away: of some no more than the id, and what the log has said."""
        unknown = {
            user_id: Person(user_id, self._pending.has_left(user_id)) for user_id in user_ids
        }
        return unknown | self._names.cached(user_ids)

    async def recent_likes(self, user_id: str) -> RecentLikes:
        """What a user has lately liked."""
        return (await self._recent_likes.get((user_id,)))[user_id]

    def cached_recent_likes(self, user_id: str) -> RecentLikes | None:
        """The same, if it needs no store."""
        return self._recent_likes.cached((user_id,)).get(user_id)

    async def liked(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        """Which of these posts a user likes, uncached."""
        return await within(self._budget_s, self._stores.likes.of_user(user_id, post_ids))

    def apply(self, event: Event, offset: int) -> None:
        """Note what an event of the log changes; in whichever order."""
        for change in event.changes():
            self._apply(change, offset)

    def apply_awaited(self, event: Event, offset: int) -> None:
        """The same for an event that the tables show already: whatever is read from now on shows it too."""
        for change in event.changes():
            if isinstance(change, NameChanged) and self._is_forgotten(change.registered_at):
                # A name that the log has lately set counts before the table's. Of an old one nobody knows whether it is
                # still the last.
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
                self._pending.like_changed(user_id, post_id, Held(active, offset))
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
                self._pending.viewer_graph_changed(viewer_id, cell, Held(active, offset))
                self._viewer_graphs.drop(viewer_id)
            case AwakeningBegun() | DeliveryChanged():
                # A woken user stays asleep until the timeline is filled. An author's delivery is cached nowhere.
                pass
            case _:
                assert_never(change)

    def _is_forgotten(self, happened_at: datetime) -> bool:
        """Whether what came after it may not be pending any more."""
        return self._clock.now_ms() - to_ms(happened_at) >= PENDING_S * 1000

    async def close(self) -> None:
        """Stop what is loading."""
        for cache in (
            self._viewer_graphs,
            self._authored,
            self._posts,
            self._names,
            self._recent_likes,
        ):
            await cache.close()

    async def _load_viewer_graph(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Loaded[ViewerGraph]]:
        (user_id,) = user_ids
        asked = read_viewer_graph(user_id, stores=self._stores)
        graph, cells = await within(self._budget_s, asked)
        if self._pending.has_left(user_id):
            graph = replace(graph, left=True)
        keep_s = 0.0
        if self._pending.shows_viewer_graph(user_id, cells):
            keep_s = _BACKFILLING_S if graph.unmaterialised else _AS_LONG_AS_POSSIBLE
        return {user_id: Loaded(graph, keep_s)}

    async def _load_authored(self, author_ids: Collection[str]) -> Mapping[str, Loaded[Head]]:
        since_ms = self._clock.now_ms() - self._retention_ms
        newest = await each_within(
            self._budget_s, author_ids, lambda author_id: self._pointers(author_id, None, since_ms)
        )
        return {
            author_id: Loaded(
                _head(author_id, pointers),
                _if(self._pending.shows_authored(author_id, pointers)),
            )
            for author_id, pointers in newest.items()
        }

    async def _pointers(
        self, author_id: str, before: UUID | None, since_ms: int
    ) -> list[AuthoredPost]:
        return await self._stores.posts.by_author(
            author_id, before=before, since_ms=since_ms, limit=OWN_POSTS
        )

    async def _load_posts(self, numbers: Collection[int]) -> Mapping[int, Loaded[Post]]:
        asked = self._stores.posts.get([UUID(int=number) for number in numbers])
        posts = await within(self._budget_s, asked)
        return {
            post_id.int: Loaded(post, self._keep_post_s(post)) for post_id, post in posts.items()
        }

    def _keep_post_s(self, post: Post) -> float:
        if not self._pending.shows_post(post):
            return 0.0
        return _AS_LONG_AS_POSSIBLE if self._pending.shows_count(post) else COUNTS_S

    async def _load_names(self, user_ids: Collection[str]) -> Mapping[str, Loaded[Person]]:
        users = await within(self._budget_s, self._stores.users.get_many(user_ids))
        people = {}
        for user_id in user_ids:
            stored = person(users[user_id])
            name, up_to_date = stored.name, True
            last_set = self._pending.name_of(user_id)
            if last_set and last_set != name:
                # The worker will write it; but a tail that is behind may know less than the table.
                up_to_date = self._trusted()
                name = last_set if up_to_date else name
            # Leaving is final, so it doesn't matter which of the two knows of it.
            left = stored.left or self._pending.has_left(user_id)
            people[user_id] = Loaded(Person(name, left), _if(up_to_date))
        return people

    async def _load_recent_likes(
        self, user_ids: Collection[str]
    ) -> Mapping[str, Loaded[RecentLikes]]:
        (user_id,) = user_ids
        listed = self._listed_likes
        asked = self._stores.likes.recent(user_id, limit=listed)
        recent = recent_likes_of(await within(self._budget_s, asked), listed=listed)
        hidden = hidden_likes(recent, self._pending.likes_of(user_id))
        offsets = await self._like_offsets(user_id, hidden) if hidden else {}
        shown = shows_likes(recent, self._pending.likes_of(user_id), offsets)
        return {user_id: Loaded(recent, _if(shown))}

    async def _like_offsets(self, user_id: str, post_ids: Collection[UUID]) -> dict[UUID, int]:
        if len(post_ids) > _MOST_LOOKED_UP:
            return {}
        likes = self._stores.likes
        asked = asyncio.gather(*(likes.of_post(post_id, [user_id]) for post_id in post_ids))
        found = await within(self._budget_s, asked)
        return {like.post_id: like.offset for each in found for like in each.values()}


def _if(up_to_date: bool) -> float:
    return _AS_LONG_AS_POSSIBLE if up_to_date else 0.0


def _authored_page(author_id: str, pointers: Sequence[AuthoredPost]) -> Page:
    found = [
        candidate(pointer.post_id, author_id, pointer.delivery or "push") for pointer in pointers
    ]
    return Page(found, more=len(found) == OWN_POSTS)


def _head(author_id: str, pointers: Sequence[AuthoredPost]) -> Head:
    page = _authored_page(author_id, pointers)
    return Head(page.candidates, more=page.more)
