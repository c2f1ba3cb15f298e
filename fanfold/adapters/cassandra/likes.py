"""`Likes` in Cassandra."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from operator import attrgetter
from uuid import UUID

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.packed import routing_key
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.buckets import time_bucket
from fanfold.core.ports import Like, LikeCount, RecentLike

COUNT = "SELECT post_id, like_count, like_offset FROM posts WHERE post_id IN ?"
WRITE_COUNT = "UPDATE posts USING TIMESTAMP ? SET like_count = ?, like_offset = ? WHERE post_id = ?"
OF_POST = """
SELECT user_id, post_id, author_id, active, liked_at_ms, offset FROM likes_by_user
WHERE user_id IN ? AND post_id IN ? AND time_bucket = ?
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

    def __init__(
        self, session: CassandraSession, *, batches: BatchWriter, replica_sets: ReplicaSets
    ) -> None:
        self._session = session
        self._batches = batches
        self._count: MultiGet[UUID] = MultiGet(
            session,
            session.statement(COUNT),
            replica_sets=replica_sets,
            routing_key=attrgetter("bytes"),
        )
        self._write_count = session.statement(WRITE_COUNT)
        self._of_post: MultiGet[tuple[str, UUID]] = MultiGet(
            session,
            session.statement(OF_POST),
            replica_sets=replica_sets,
            routing_key=_user_and_bucket,
            columns=2,
        )
        self._write = session.statement(WRITE)
        self._write_recent = session.statement(WRITE_RECENT)
        self._of_user = session.statement(OF_USER)
        self._recent = session.statement(RECENT)
        self._recent_before = session.statement(RECENT_BEFORE)

    async def count(self, post_id: UUID) -> LikeCount:
        _, likes, offset = await self._count.row(post_id) or (post_id, None, None)
        return LikeCount(likes or 0, offset)

    async def write_count(self, post_id: UUID, likes: int, *, offset: int) -> None:
        await self._batches.write_row(self._write_count, at_offset(offset), likes, offset, post_id)

    async def of_post(self, post_id: UUID, user_ids: Collection[str]) -> dict[str, Like]:
        keys = [(user_id, post_id) for user_id in user_ids]
        rows = await self._of_post.rows(keys, time_bucket(post_id))
        return {row[0]: Like(*row) for row in rows}

    async def write(self, likes: Sequence[Like]) -> None:
        packing = self._session.packing(self._write)
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
        await self._batches.write_row(
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


def _user_and_bucket(key: tuple[str, UUID], bucket: int) -> bytes:
    user_id, _ = key
    return routing_key(user_id.encode(), bucket.to_bytes(4))
