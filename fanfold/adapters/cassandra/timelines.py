"""`Timelines` in Cassandra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from fanfold.adapters.cassandra.author_walk import NEWEST_POST_ID, AuthorWalk
from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.packed import PackedRow, Packing, length
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import at_creation, ttl_of
from fanfold.core.buckets import time_bucket
from fanfold.core.clock import Clock
from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Pointer, TimelineEntry
from fanfold.core.settings import MS_PER_DAY, Settings

PUSH = """
INSERT INTO user_timeline (user_id, post_id, author_id) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?
"""
# Ids as bytes, which are read as integers: the driver's UUIDs were half of the cost of a timeline of 129 pointers.
TIMELINE = """
SELECT uuid_as_blob(post_id), author_id FROM user_timeline
WHERE user_id = ? AND post_id < ? AND post_id >= ? LIMIT ?
"""
ADD_CELEBRITY_POST = """
INSERT INTO celebrity_posts (author_id, time_bucket, post_id) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?
"""
PULLED = """
SELECT author_id, time_bucket, post_id FROM celebrity_posts
WHERE author_id IN ? AND time_bucket IN ? AND post_id < ? PER PARTITION LIMIT ?
"""


class CassandraTimelines:
    """See `fanfold.core.ports.Timelines`.

    A push of more rows than a batch has goes through a writer of its own, so that nothing else waits behind the batches of a large audience.
    """

    def __init__(
        self,
        session: CassandraSession,
        *,
        batches: BatchWriter,
        large_pushes: BatchWriter,
        replica_sets: ReplicaSets,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._session = session
        self._batches = batches
        self._large_pushes = large_pushes
        self._most_together = settings.write_batch_rows
        self._clock = clock
        self._keep_ms = settings.retention_ms + MS_PER_DAY
        self._push = session.statement(PUSH)
        self._timeline = session.statement(TIMELINE)
        self._add_celebrity_post = session.statement(ADD_CELEBRITY_POST)
        self._pulled = AuthorWalk(
            session, session.statement(PULLED), replica_sets=replica_sets, clock=clock
        )

    async def push(self, pointers: Sequence[Pointer], user_ids: Sequence[str]) -> int:
        packing = self._session.packing(self._push)
        is_large = len(pointers) * len(user_ids) > self._most_together
        writer = self._large_pushes if is_large else self._batches
        return await writer.write(self._pushed(packing, pointers, user_ids))

    async def correct(self, user_id: str, pointer: Pointer) -> None:
        post_id, author_id = pointer
        if (ttl_s := self._ttl_s(post_id)) > 0:
            # Later than any delivery, which has the post's time to the millisecond.
            written_at = at_creation(post_id) + 1
            await self._batches.write_row(
                self._push, user_id, post_id, author_id, written_at, ttl_s
            )

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[TimelineEntry]:
        rows = await self._session.rows(
            self._timeline, user_id, before or NEWEST_POST_ID, first_post_id_at(since_ms), limit
        )
        return [TimelineEntry(int.from_bytes(raw), author_id) for raw, author_id in rows]

    async def add_pulled(self, pointer: Pointer) -> None:
        post_id, author_id = pointer
        if (ttl_s := self._ttl_s(post_id)) > 0:
            row = (author_id, time_bucket(post_id), post_id, at_creation(post_id), ttl_s)
            await self._batches.write_row(self._add_celebrity_post, *row)

    async def pulled(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[UUID]:
        kept_since_ms = max(since_ms, self._clock.now_ms() - self._keep_ms)
        rows = await self._pulled.rows(
            author_id, before=before, since_ms=kept_since_ms, limit=limit
        )
        return [post_id for (post_id,) in rows]

    def _pushed(
        self, packing: Packing, pointers: Sequence[Pointer], user_ids: Sequence[str]
    ) -> Iterator[PackedRow]:
        now_ms = self._clock.now_ms()
        for post_id, author_id in pointers:
            ttl_s = ttl_of(post_id, keep_ms=self._keep_ms, now_ms=now_ms)
            if ttl_s <= 0:
                continue
            if len(user_ids) == 1:
                yield packing.row(user_ids[0], post_id, author_id, at_creation(post_id), ttl_s)
                continue
            # Rows differ only in the user: the other values are serialised once.
            shared = packing.values(1, post_id, author_id, at_creation(post_id), ttl_s)
            start = packing.row_start
            for user_id in user_ids:
                key = user_id.encode()
                yield key, b"".join((start, length(len(key)), key, shared))

    def _ttl_s(self, post_id: UUID) -> int:
        return ttl_of(post_id, keep_ms=self._keep_ms, now_ms=self._clock.now_ms())
