"""`Likes` in Cassandra."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.packed import Packing
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.buckets import time_bucket
from fanfold.core.ports import Like, LikeCount, RecentLike

COUNT = "SELECT like_count, like_offset FROM posts WHERE post_id = ?"
WRITE_COUNT = "UPDATE posts USING TIMESTAMP ? SET like_count = ?, like_offset = ? WHERE post_id = ?"
OF_POST = """
SELECT author_id, active, liked_at_ms, offset FROM likes_by_user
WHERE user_id = ? AND time_bucket = ? AND post_id = ?
"""
WRITE = """
INSERT INTO likes_by_user (user_id, time_bucket, post_id, author_id, active, liked_at_ms, offset)
VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
WRITE_RECENT = """
INSERT INTO recent_likes_by_user (user_id, liked_at_ms, post_id, author_id, active)
VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
OF_USER = """
SELECT post_id, active FROM likes_by_user WHERE user_id = ? AND time_bucket = ? AND post_id IN ?
"""
RECENT = """
SELECT liked_at_ms, post_id, author_id, active FROM recent_likes_by_user WHERE user_id = ? LIMIT ?
"""
RECENT_BEFORE = """
SELECT liked_at_ms, post_id, author_id, active FROM recent_likes_by_user
WHERE user_id = ? AND (liked_at_ms, post_id) < (?, ?) LIMIT ?
"""


class CassandraLikes:
    """See `fanfold.core.ports.Likes`."""

    def __init__(self, session: CassandraSession, *, batches: BatchWriter) -> None:
        self._session = session
        self._batches = batches
        self._count = session.statement(COUNT)
        self._write_count = session.statement(WRITE_COUNT)
        self._of_post = session.statement(OF_POST)
        self._write = session.statement(WRITE)
        self._write_recent = session.statement(WRITE_RECENT)
        self._of_user = session.statement(OF_USER)
        self._recent = session.statement(RECENT)
        self._recent_before = session.statement(RECENT_BEFORE)

    async def count(self, post_id: UUID) -> LikeCount:
        likes, offset = await self._session.row(self._count, post_id) or (None, None)
        return LikeCount(likes or 0, offset)

    async def write_count(self, post_id: UUID, likes: int, *, offset: int) -> None:
        await self._session.run(self._write_count, at_offset(offset), likes, offset, post_id)

    async def of_post(self, post_id: UUID, user_ids: Collection[str]) -> dict[str, Like]:
        ids = list(dict.fromkeys(user_ids))
        bucket = time_bucket(post_id)
        rows = await asyncio.gather(
            *(self._session.row(self._of_post, user_id, bucket, post_id) for user_id in ids)
        )
        return {
            user_id: Like(user_id, post_id, *row)
            for user_id, row in zip(ids, rows, strict=True)
            if row is not None
        }

    async def write(self, likes: Sequence[Like]) -> None:
        packing = Packing(self._session.prepared(self._write))
        await self._batches.write(
            packing.row(
                like.user_id,
                time_bucket(like.post_id),
                like.post_id,
                like.author_id,
                like.active,
                like.liked_at_ms,
                like.offset,
                at_offset(like.offset),
            )
            for like in likes
        )

    async def write_recent(
        self, user_id: str, like: RecentLike, *, active: bool, offset: int
    ) -> None:
        await self._session.run(
            self._write_recent,
            user_id,
            like.liked_at_ms,
            like.post_id,
            like.author_id,
            active,
            at_offset(offset),
        )

    async def of_user(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        by_bucket: defaultdict[int, list[UUID]] = defaultdict(list)
        for post_id in dict.fromkeys(post_ids):
            by_bucket[time_bucket(post_id)].append(post_id)
        pages = await asyncio.gather(
            *(
                self._session.rows(self._of_user, user_id, bucket, ids)
                for bucket, ids in by_bucket.items()
            )
        )
        return {post_id for page in pages for post_id, active in page if active}

    async def recent(
        self, user_id: str, *, before: RecentLike | None = None, limit: int
    ) -> list[RecentLike]:
        found: list[RecentLike] = []
        start = None if before is None else (before.liked_at_ms, before.post_id)
        while len(found) < limit:
            # At least 20: after many unlikes, one row at a time would be slow.
            rows_asked = max(limit - len(found), 20)
            if start is None:
                rows = await self._session.rows(self._recent, user_id, rows_asked)
            else:
                rows = await self._session.rows(self._recent_before, user_id, *start, rows_asked)
            found += [RecentLike(*row[:3]) for row in rows if row[3]]
            if len(rows) < rows_asked:
                break
            start = rows[-1][:2]
        return found[:limit]
