"""`Likes` in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from uuid import UUID

from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.core.ports import Like, LikeCount, RecentLike


class MemoryLikes:
    """See `fanfold.core.ports.Likes`. Counts are cells of the posts' rows."""

    def __init__(self, posts: Table[UUID]) -> None:
        self._posts = posts
        self._likes: ClusteredTable[str, UUID] = ClusteredTable()
        self._recent: ClusteredTable[str, tuple[int, UUID]] = ClusteredTable()

    async def count(self, post_id: UUID) -> LikeCount:
        row = self._posts.row(post_id) or {}
        return LikeCount(row.get("like_count", 0), row.get("like_offset"))

    async def write_count(self, post_id: UUID, likes: int, *, offset: int) -> None:
        self._posts.write(post_id, offset, like_count=likes, like_offset=offset)

    async def of_post(self, post_id: UUID, user_ids: Collection[str]) -> dict[str, Like]:
        found = {user_id: self._likes.row(user_id, post_id) for user_id in user_ids}
        return {
            user_id: Like(user_id, post_id, *row["state"])
            for user_id, row in found.items()
            if row is not None
        }

    async def write(self, likes: Sequence[Like]) -> None:
        for like in likes:
            state = (like.author_id, like.active, like.liked_at_ms, like.offset)
            self._likes.write(like.user_id, like.post_id, like.offset, state=state)

    async def write_recent(
        self, user_id: str, like: RecentLike, *, active: bool, offset: int
    ) -> None:
        self._recent.write(
            user_id,
            (like.liked_at_ms, like.post_id),
            offset,
            author_id=like.author_id,
            active=active,
        )

    async def of_user(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        found = {post_id: self._likes.row(user_id, post_id) for post_id in post_ids}
        return {post_id for post_id, row in found.items() if row is not None and row["state"][1]}

    async def recent(
        self, user_id: str, *, before: RecentLike | None = None, limit: int
    ) -> list[RecentLike]:
        below = None if before is None else (before.liked_at_ms, before.post_id)
        likes = (
            RecentLike(liked_at_ms, post_id, row["author_id"])
            for (liked_at_ms, post_id), row in self._recent.rows(
                user_id, below=below, descending=True
            )
            if row["active"]
        )
        return list(islice(likes, limit))
