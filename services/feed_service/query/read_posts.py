"""Reading an author's posts: newest first, down to the very first."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.errors import Unavailable
from fanfold.core.ports import Post, Stores
from fanfold.http.blocks import refuse_blocked
from fanfold.http.post_resource import PostResource
from feed_service.budget import within
from feed_service.caches.cached_reads import CachedReads
from feed_service.query.access import NoSuchUser
from feed_service.query.coverage import Coverage
from feed_service.query.cursor import Place, place_cursor, place_of
from feed_service.query.items import PostPage
from feed_service.query.likings import Likings

_FEWEST_ROWS = 20  # read on in steps of at least so many past deleted posts


class ReadPosts:
    """The use case. Pages are full unless the list ends with them. Raises `Unavailable`, also when likes can't be read."""

    def __init__(self, stores: Stores, reads: CachedReads, *, budget_s: float) -> None:
        self._stores = stores
        self._reads = reads
        self._budget_s = budget_s

    async def __call__(
        self, author_id: str, *, viewer: str, limit: int, cursor: str | None
    ) -> PostPage:
        """A page of the author's posts, as the viewer sees them.

        Answers 404 for an author who has left, or who neither registered nor posted and is not the viewer, and 403
        across a block.
        """
        scope = f"posts/{author_id}"
        place = place_of(cursor, scope=scope) if cursor else None
        author = (await self._reads.people((author_id,)))[author_id]
        if author.left:
            raise _not_found()
        if author_id != viewer:
            await within(self._budget_s, refuse_blocked(viewer, author_id, ties=self._stores.ties))
        coverage = Coverage()
        likings = Likings(self._reads, viewer, coverage)
        found = await likings.beside(
            self._live(author_id, place.last if place else None, limit + 1)
        )
        if not found and place is None and author_id != viewer:
            await self._refuse_unknown(author_id)
        shown = found[:limit]
        liked = await likings.of(shown)
        if coverage.missing:
            raise Unavailable("what the reader likes can't be read now")
        next_cursor = None
        if len(found) > limit:
            # Nothing else: this list has no depth, and nobody counts its news.
            last = shown[-1].post_id
            next_cursor = place_cursor(Place(last, served=0, newest=last), scope=scope)
        items = [
            PostResource.of(post, author=author.name, liked_by_me=post.post_id in liked)
            for post in shown
        ]
        return PostPage(items, next_cursor)

    async def _live(self, author_id: str, before: UUID | None, wanted: int) -> list[Post]:
        """The next `wanted` posts that are not deleted, or all that are left."""
        live: list[Post] = []
        while len(live) < wanted:
            rows = max(wanted - len(live), _FEWEST_ROWS)
            pointers = await within(
                self._budget_s,
                self._stores.posts.by_author(author_id, before=before, since_ms=0, limit=rows),
            )
            numbers = [pointer.post_id.int for pointer in pointers]
            posts = await self._reads.posts(numbers)
            live += [posts[n] for n in numbers if n in posts and not posts[n].deleted]
            if len(pointers) < rows:
                break
            before = pointers[-1].post_id
        return live[:wanted]

    async def _refuse_unknown(self, author_id: str) -> None:
        author = await within(self._budget_s, self._stores.users.get(author_id))
        if author.display_name is None:
            raise _not_found()


def _not_found() -> NoSuchUser:
    return NoSuchUser("There is no registered user with this id.")
