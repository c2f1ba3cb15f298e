"""The tables as the feed reads them: through caches that the tail of the log keeps honest.

Every method loads what isn't cached, once for all who ask at that time, within the time budget of a source; they
raise `Unavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.events import (
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
    UserLeft,
    UserRegistered,
    to_ms,
)
from fanfold.core.ports import AuthoredPost, Post, Stores
from fanfold.core.settings import Settings
from feed_service.budget import each_within, within
from feed_service.caches.caches import Cache, Freshness, Loaded
from feed_service.caches.pending import PENDING_S, Held, Pending
from feed_service.caches.people import Person, person
from feed_service.caches.sight import Sight, changed_sights, read_sight
from feed_service.caches.taste import LISTED, Taste, hidden_likes, shows_likes, taste_of
from feed_service.candidates import Head, Page, candidate

OWN_POSTS = 20
"""Newest own posts kept of a reader. Rarely do more of them stand on one page."""

COUNTS_S = 0.5
"""How old a like count may be besides. A viral post is liked a thousand times a second and shown as often: reading it
again after each like would make its row a hot one, and keeping only what counts every like would keep nothing."""

_MOST_LOOKED_UP = 20  # old likes, liked again; a taste with more of them is not kept
_BACKFILLING_S = (
    1.0  # no event tells that a backfill has finished, so such a sight is soon read again
)
_AS_LONG_AS_POSSIBLE = float("inf")


class CachedReads:
    """Readers' sights and tastes, authors' newest posts, post content with like counts, and people."""

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
        readers = settings.cached_follow_sets
        self._sights: Cache[str, Sight] = Cache(
            "follow_sets", self._load_sight, size=readers, freshness=freshness
        )
        self._authored: Cache[str, Head] = Cache(
            "authored_posts", self._load_authored, size=readers, freshness=freshness
        )
        # By the integer in the id, whose hash is several times faster than the UUID's.
        self._posts: Cache[int, Post] = Cache(
            "posts", self._load_posts, size=settings.cached_posts, freshness=freshness
        )
        self._people: Cache[str, Person] = Cache(
            "names", self._load_people, size=settings.cached_names, freshness=freshness
        )
        self._tastes: Cache[str, Taste] = Cache(
            "tastes", self._load_taste, size=readers, freshness=freshness
        )

    async def sight(self, user_id: str) -> Sight:
        """Whose posts a user sees."""
        return (await self._sights.get((user_id,)))[user_id]

    def sight_held(self, user_id: str) -> Sight | None:
        """The same, if it needs no store."""
        return self._sights.held((user_id,)).get(user_id)

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

    def posts_held(self, numbers: Collection[int]) -> dict[int, Post]:
        """The same as far as no store is needed."""
        return self._posts.held(numbers)

    async def people(self, user_ids: Collection[str]) -> dict[str, Person]:
        """Everyone's name, and whether they have left."""
        return await self._people.get(user_ids)

    def people_held(self, user_ids: Collection[str]) -> dict[str, Person]:
        """The same as far as no store is needed."""
        return self._people.held(user_ids)

    def people_unasked(self, user_ids: Collection[str]) -> dict[str, Person]:
        """What is known of everyone while the graph is away: of some no more than the id, and what the log has said."""
        unknown = {
            user_id: Person(user_id, self._pending.has_left(user_id)) for user_id in user_ids
        }
        return unknown | self._people.held(user_ids)

    async def taste(self, user_id: str) -> Taste:
        """What a user has lately liked."""
        return (await self._tastes.get((user_id,)))[user_id]

    def taste_held(self, user_id: str) -> Taste | None:
        """The same, if it needs no store."""
        return self._tastes.held((user_id,)).get(user_id)

    async def liked(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        """Which of these posts a user likes, uncached."""
        return await within(self._budget_s, self._stores.likes.of_user(user_id, post_ids))

    def apply(self, event: Event, offset: int) -> None:
        """Note what an event of the log changes; in whichever order."""
        match event:
            case PostCreated():
                self._pending.post_created(event.author_id, event.post_id, offset)
                self._authored.drop(event.author_id)
            case PostEdited() | PostDeleted():
                self._pending.post_changed(event.post_id, offset)
                self._posts.drop(event.post_id.int)
            case PostLiked() | PostUnliked():
                held = Held(isinstance(event, PostLiked), offset)
                self._pending.like_changed(event.user_id, event.post_id, held)
                self._tastes.drop(event.user_id)
                self._posts.expire(event.post_id.int, COUNTS_S)
            case UserRegistered():
                self._pending.renamed(event.user_id, event.display_name, offset)
                self._people.drop(event.user_id)
            case UserLeft():
                self._pending.user_left(event.user_id)
                self._people.drop(event.user_id)
                self._sights.drop(event.user_id)
            case _:
                for user_id, cell, active in changed_sights(event):
                    self._pending.sight_changed(user_id, cell, Held(active, offset))
                    self._sights.drop(user_id)

    def apply_awaited(self, event: Event, offset: int) -> None:
        """The same for an event that the tables show already: whatever is read from now on shows it too."""
        match event:
            case UserRegistered() if self._is_forgotten(event.registered_at):
                # A name that the log has lately set counts before the table's. Of an old one nobody knows whether it is
                # still the last.
                self._people.drop(event.user_id)
                return
            case PostLiked() | PostUnliked():
                self._pending.count_awaited(event.post_id, offset)
                self._posts.drop(event.post_id.int)
            case _:
                pass
        self.apply(event, offset)

    def _is_forgotten(self, happened_at: datetime) -> bool:
        """Whether what came after it may not be pending any more."""
        return self._clock.now_ms() - to_ms(happened_at) >= PENDING_S * 1000

    async def close(self) -> None:
        """Stop what is loading."""
        for cache in (self._sights, self._authored, self._posts, self._people, self._tastes):
            await cache.close()

    async def _load_sight(self, user_ids: Collection[str]) -> Mapping[str, Loaded[Sight]]:
        (user_id,) = user_ids
        asked = read_sight(user_id, stores=self._stores)
        sight, cells = await within(self._budget_s, asked)
        if self._pending.has_left(user_id):
            sight = replace(sight, left=True)
        keep_s = 0.0
        if self._pending.shows_sight(user_id, cells):
            keep_s = _BACKFILLING_S if sight.unmaterialised else _AS_LONG_AS_POSSIBLE
        return {user_id: Loaded(sight, keep_s)}

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

    async def _load_people(self, user_ids: Collection[str]) -> Mapping[str, Loaded[Person]]:
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

    async def _load_taste(self, user_ids: Collection[str]) -> Mapping[str, Loaded[Taste]]:
        (user_id,) = user_ids
        listed = self._listed_likes
        asked = self._stores.likes.recent(user_id, limit=listed)
        taste = taste_of(await within(self._budget_s, asked), listed=listed)
        hidden = hidden_likes(taste, self._pending.likes_of(user_id))
        offsets = await self._like_offsets(user_id, hidden) if hidden else {}
        shown = shows_likes(taste, self._pending.likes_of(user_id), offsets)
        return {user_id: Loaded(taste, _if(shown))}

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
