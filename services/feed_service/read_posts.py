"""Reading an author's posts: newest first, down to the very first."""

from __future__ import annotations

from uuid import UUID

from fanfold.http.problems import NotFound
from fanfold.stores import Post, Stores
from feed_service.cached_reads import CachedReads
from feed_service.coverage import within
from feed_service.cursor import Place, place_cursor, place_of
from feed_service.items import PostPage, post_item

_FEWEST_ROWS = 20  # read on in steps of at least so many past deleted posts


class AuthorNotFound(NotFound):
    kind = "user-not-found"
    title = "No such user"


class ReadPosts:
    """The use case. Pages are full unless the list ends with them. Raises `Unavailable`."""

    def __init__(self, stores: Stores, reads: CachedReads, *, budget_s: float) -> None:
        self._stores = stores
        self._reads = reads
        self._budget_s = budget_s

    async def __call__(
        self, author_id: str, *, limit: int, cursor: str | None, known: bool = False
    ) -> PostPage:
        """A page of the author's posts. Answers 404 for one who neither registered nor posted, unless `known`."""
        scope = f"posts/{author_id}"
        place = place_of(cursor, scope=scope) if cursor else None
        found = await self._live(author_id, place.last if place else None, limit + 1)
        if not found and place is None and not known:
            await self._refuse_unknown(author_id)
        name = (await self._reads.names((author_id,)))[author_id]
        shown = found[:limit]
        next_cursor = None
        if len(found) > limit:
            last = shown[
                -1
            ].post_id  # nothing else: this list has no depth, and nobody counts its news
            end = Place(last, served=0, newest=last)
            next_cursor = place_cursor(end, scope=scope)
        return PostPage([post_item(post, name) for post in shown], next_cursor)

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
        users = await within(self._budget_s, self._stores.graph.users((author_id,)))
        if author_id not in users or users[author_id].display_name is None:
            raise AuthorNotFound("There is no registered user with this id.")
