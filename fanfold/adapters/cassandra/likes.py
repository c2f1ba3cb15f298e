"""`Likes` in Cassandra."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from uuid import UUID

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.packed import routing_key
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.buckets import time_bucket
from fanfold.core.ports import Like, LikeCount, ListedLike, RecentLike

COUNT = "SELECT post_id, like_count, like_offset FROM posts WHERE post_id IN ?"
WRITE_COUNT = "UPDATE posts USING TIMESTAMP ? SET like_count = ?, like_offset = ? WHERE post_id = ?"
OF_PAIRS = """
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
        self._of_pairs: MultiGet[tuple[str, UUID]] = MultiGet(
            session,
            session.statement(OF_PAIRS),
            replica_sets=replica_sets,
            routing_key=_user_and_bucket,
            columns=2,
        )
        self._write = session.statement(WRITE)
        self._write_recent = session.statement(WRITE_RECENT)
        self._of_user = session.statement(OF_USER)
        self._recent = session.statement(RECENT)
        self._recent_before = session.statement(RECENT_BEFORE)

    async def counts(self, post_ids: Collection[UUID]) -> dict[UUID, LikeCount]:
        found = dict.fromkeys(post_ids, LikeCount(0, None))
        for post_id, likes, offset in await self._count.rows(post_ids):
            found[post_id] = LikeCount(likes or 0, offset)
        return found

    async def write_counts(self, counts: Mapping[UUID, LikeCount]) -> None:
        row = self._session.packing(self._write_count).row
        await self._batches.write(
            row(at_offset(offset), likes, offset, post_id)
            for post_id, (likes, offset) in counts.items()
            if offset is not None
        )

    async def of_post(self, post_id: UUID, user_ids: Collection[str]) -> dict[str, Like]:
        found = await self.of_pairs([(user_id, post_id) for user_id in user_ids])
        return {user_id: like for (user_id, _), like in found.items()}

    async def of_pairs(self, pairs: Collection[tuple[str, UUID]]) -> dict[tuple[str, UUID], Like]:
        by_bucket: defaultdict[int, list[tuple[str, UUID]]] = defaultdict(list)
        for pair in pairs:
            by_bucket[time_bucket(pair[1])].append(pair)
        pages = await asyncio.gather(
            *(self._of_pairs.rows(keys, bucket) for bucket, keys in by_bucket.items())
        )
        return {row[:2]: Like(*row) for page in pages for row in page}

    async def write(self, likes: Sequence[Like]) -> None:
        row = self._session.packing(self._write).row
        await self._batches.write(
            row(
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

    async def write_recent(self, entries: Sequence[ListedLike]) -> None:
        row = self._session.packing(self._write_recent).row
        await self._batches.write(
            row(user_id, *like, active, at_offset(offset))
            for user_id, like, active, offset in entries
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
