"""`Posts` in memory."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from uuid import UUID

from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.core.delivery import Delivery
from fanfold.core.ids import created_at_ms, first_post_id_at
from fanfold.core.ports import AuthoredPost, Counted, Post


class MemoryPosts:
    """See `fanfold.core.ports.Posts`. `MemoryLikes` counts likes in the rows of the same table."""

    def __init__(self, posts: Table[UUID]) -> None:
        self._posts = posts
        self._by_author: ClusteredTable[str, UUID] = ClusteredTable()

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        created = created_at_ms(post_id) * 1000
        self._posts.write(post_id, created, author_id=author_id, content=content)
        self._by_author.write(author_id, post_id, created)

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, offset: int) -> None:
        self._posts.write(
            post_id, offset, edited_content=content, edited_at=edited_at_ms, offset=offset
        )

    async def note_offset(self, post_id: UUID, *, offset: int) -> None:
        self._posts.write(post_id, offset, offset=offset)

    async def delete(self, post_id: UUID, *, offset: int) -> None:
        self._posts.write(post_id, offset, deleted=True, offset=offset)

    async def get(self, post_ids: Collection[UUID]) -> dict[UUID, Post]:
        found = {post_id: self._posts.row(post_id) for post_id in post_ids}
        return {
            post_id: Post(
                post_id=post_id,
                author_id=row["author_id"],
                content=row["edited_content"] if "edited_content" in row else row["content"],
                edited_at_ms=row.get("edited_at"),
                deleted=row.get("deleted", False),
                offset=row.get("offset"),
                like_count=row.get("like_count", 0),
                like_offset=row.get("like_offset"),
            )
            for post_id, row in found.items()
            if row is not None and "author_id" in row
        }

    async def counted(self, post_ids: Collection[UUID]) -> dict[UUID, Counted]:
        posts = await self.get(post_ids)
        return {post_id: Counted(post.like_count, post.deleted) for post_id, post in posts.items()}

    async def set_delivery(
        self, author_id: str, post_id: UUID, delivery: Delivery, *, offset: int
    ) -> None:
        self._by_author.write(author_id, post_id, offset, delivery=delivery)

    async def by_author(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[AuthoredPost]:
        rows = self._by_author.rows(
            author_id, at_least=first_post_id_at(since_ms), below=before, descending=True
        )
        return [AuthoredPost(post_id, row.get("delivery")) for post_id, row in islice(rows, limit)]

    async def newest_by_authors(
        self, author_ids: Collection[str], *, since_ms: int, limit: int
    ) -> dict[str, list[AuthoredPost]]:
        return {
            author_id: await self.by_author(author_id, before=None, since_ms=since_ms, limit=limit)
            for author_id in author_ids
        }
