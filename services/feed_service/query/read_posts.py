"""Reading an author's posts: newest first, down to the author's first."""

from __future__ import annotations

import asyncio
from uuid import UUID

from fanfold.core.ports import Post, Stores
from fanfold.http.after_writes import NOTHING_AWAITED, Awaited
from fanfold.http.blocks import refuse_blocked
from fanfold.http.known_users import known_user
from fanfold.http.post_resource import PostResource
from fanfold.http.problems import UserNotFound
from feed_service.budget import within
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.changed_keys import changed_keys
from feed_service.caches.recent_likes import RecentLikes
from feed_service.query.cursor import TimeCursor
from feed_service.query.items import PostPage

_FEWEST_ROWS = 20  # of one read, because deleted posts are skipped


class ReadPosts:
    """The use case. Pages are full unless the list ends with them. Raises `Unavailable`, also when likes can't be read."""

    def __init__(self, stores: Stores, reads: CachedReads, *, budget_s: float) -> None:
        self._stores = stores
        self._reads = reads
        self._budget_s = budget_s

    async def __call__(
        self,
        author_id: str,
        *,
        viewer: str,
        limit: int,
        cursor: str | None,
        awaited: Awaited = NOTHING_AWAITED,
    ) -> PostPage:
        """A page of the author's posts, as the viewer sees them.

        Answers 404 for an author who has left, 404 for another author who has never written anything, and 403
        across a block.
        """
        reads = self._reads.past(changed_keys(awaited.changes)) if awaited.changes else self._reads
        scope = f"posts/{author_id}"
        start = TimeCursor.decode(cursor, scope=scope) if cursor else None
        author = (await reads.names((author_id,)))[author_id]
        if author is None:
            raise _not_found()
        if author_id != viewer:
            await within(self._budget_s, refuse_blocked(viewer, author_id, ties=self._stores.ties))
        found, recent_likes = await self._read(reads, author_id, viewer, start, limit + 1)
        if not found and start is None and author_id != viewer:
            await self._refuse_unknown(author_id)
        shown = found[:limit]
        liked, unsure = recent_likes.split(shown)
        if unsure:
            liked |= await reads.liked(viewer, unsure)
        next_cursor = None
        if len(found) > limit:
            # Only the last post counts: this list has no depth, and its new posts are not counted.
            last = shown[-1].post_id
            next_cursor = TimeCursor(last, served=0, newest=last).encode(scope=scope)
        items = [
            PostResource.of(post, author=author, liked_by_me=post.post_id in liked)
            for post in shown
        ]
        return PostPage(items, next_cursor)

    async def _read(
        self,
        reads: CachedReads,
        author_id: str,
        viewer: str,
        start: TimeCursor | None,
        wanted: int,
    ) -> tuple[list[Post], RecentLikes]:
        before = start.last if start else None
        return await asyncio.gather(
            self._live(reads, author_id, before, wanted), reads.recent_likes(viewer)
        )

    async def _live(
        self, reads: CachedReads, author_id: str, before: UUID | None, wanted: int
    ) -> list[Post]:
        """The next `wanted` posts that are not deleted, or all that are left."""
        live: list[Post] = []
        while len(live) < wanted:
            rows = max(wanted - len(live), _FEWEST_ROWS)
            pointers = await within(
                self._budget_s,
                self._stores.posts.by_author(author_id, before=before, since_ms=0, limit=rows),
            )
            numbers = [pointer.post_id.int for pointer in pointers]
            posts = await reads.posts(numbers)
            live += [posts[n] for n in numbers if n in posts and not posts[n].deleted]
            if len(pointers) < rows:
                break
            before = pointers[-1].post_id
        return live[:wanted]

    async def _refuse_unknown(self, author_id: str) -> None:
        await within(self._budget_s, known_user(author_id, stores=self._stores))


def _not_found() -> UserNotFound:
    return UserNotFound("There is no user with this id.")
