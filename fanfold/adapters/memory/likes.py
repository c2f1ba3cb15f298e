"""`Likes` in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from uuid import UUID

from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.core.ports import Like, LikeCount, ListedLike, RecentLike


class MemoryLikes:
    """See `fanfold.core.ports.Likes`. Counts are cells of the posts' rows."""

    def __init__(self, posts: Table[UUID]) -> None:
        self._posts = posts
        self._likes: ClusteredTable[str, UUID] = ClusteredTable()
        self._recent: ClusteredTable[str, tuple[int, UUID]] = ClusteredTable()

    async def counts(self, post_ids: Collection[UUID]) -> dict[UUID, LikeCount]:
        rows = {post_id: self._posts.row(post_id) or {} for post_id in post_ids}
        return {
            post_id: LikeCount(row.get("like_count", 0), row.get("like_offset"))
            for post_id, row in rows.items()
        }

    async def write_counts(self, counts: Mapping[UUID, LikeCount]) -> None:
        for post_id, (likes, offset) in counts.items():
            if offset is not None:
                self._posts.write(post_id, offset, like_count=likes, like_offset=offset)

    async def of_post(self, post_id: UUID, user_ids: Collection[str]) -> dict[str, Like]:
        found = await self.of_pairs([(user_id, post_id) for user_id in user_ids])
        return {user_id: like for (user_id, _), like in found.items()}

    async def of_pairs(self, pairs: Collection[tuple[str, UUID]]) -> dict[tuple[str, UUID], Like]:
        found = {pair: self._likes.row(*pair) for pair in pairs}
        return {pair: Like(*pair, *row["state"]) for pair, row in found.items() if row is not None}

    async def write(self, likes: Sequence[Like]) -> None:
        for like in likes:
            state = (like.author_id, like.active, like.liked_at_ms, like.offset)
            self._likes.write(like.user_id, like.post_id, like.offset, state=state)

    async def write_recent(self, entries: Sequence[ListedLike]) -> None:
        for user_id, (liked_at_ms, post_id, author_id), active, offset in entries:
            self._recent.write(
                user_id, (liked_at_ms, post_id), offset, author_id=author_id, active=active
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
