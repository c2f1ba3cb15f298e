"""Reads the per-author tables, whose partitions are time buckets, as one list, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any
from uuid import UUID

from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.packed import routing_key
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.statement import Statement
from fanfold.core.buckets import TIME_BUCKET_MS, time_bucket
from fanfold.core.clock import Clock
from fanfold.core.ids import first_post_id_at

NEWEST_POST_ID = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")
"""Higher than every post's id: `before` when there is no bound."""

BUCKETS = """
SELECT time_bucket FROM author_buckets WHERE author_id = ? AND time_bucket <= ? AND time_bucket >= ?
"""

# Reading up to this many buckets at once is faster than first asking which exist.
PROBED_BUCKETS = 3
# Another machine's clock may be ahead, and its posts in a bucket that has not begun on this one.
AHEAD_MS = 60_000


class AuthorWalk:
    """Walks the time buckets from the newest to the oldest.

    Its statement takes lists of authors and of buckets, the post to begin below and a limit for each partition, and selects the author, the
    bucket and the post id first. First pages of many authors travel together.
    """

    def __init__(
        self,
        session: CassandraSession,
        statement: Statement,
        *,
        replica_sets: ReplicaSets,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._session = session
        self._pages: MultiGet[tuple[str, int]] = MultiGet(
            session,
            statement,
            replica_sets=replica_sets,
            routing_key=_author_and_bucket,
            columns=2,
        )
        self._buckets = session.statement(BUCKETS)

    async def rows(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[Row]:
        """What the statement selects from the post id on, newest first."""
        newest = time_bucket(before) if before else self._bucket_of_now()
        oldest = since_ms // TIME_BUCKET_MS
        first = first_post_id_at(since_ms).int
        found: list[Row] = []
        async for buckets in self._steps(author_id, newest, oldest):
            keys = [(author_id, bucket) for bucket in buckets]
            page = await self._pages.rows(keys, before or NEWEST_POST_ID, limit)
            # Compared here: with the time in the statement, no two callers would ask the same.
            found += [row[2:] for row in page if row[2].int >= first]
            if len(found) >= limit:
                break
        return found[:limit]

    async def newest(
        self, author_ids: Collection[str], *, since_ms: int, limit: int
    ) -> dict[str, list[Row]]:
        """`rows` of each of these authors from the newest on, without a task for each."""
        newest, oldest = self._bucket_of_now(), since_ms // TIME_BUCKET_MS
        if newest - oldest >= PROBED_BUCKETS:
            walks = [
                self.rows(author_id, before=None, since_ms=since_ms, limit=limit)
                for author_id in author_ids
            ]
            return dict(zip(author_ids, await asyncio.gather(*walks), strict=True))
        first = first_post_id_at(since_ms).int
        keys = [
            (author_id, bucket)
            for author_id in author_ids
            for bucket in range(newest, oldest - 1, -1)
        ]
        found: dict[str, list[Row]] = {author_id: [] for author_id in author_ids}
        for row in await self._pages.rows(keys, NEWEST_POST_ID, limit):
            if row[2].int >= first:
                found[row[0]].append(row[2:])
        return {author_id: rows[:limit] for author_id, rows in found.items()}

    def _bucket_of_now(self) -> int:
        return (self._clock.now_ms() + AHEAD_MS) // TIME_BUCKET_MS

    async def _steps(
        self, author_id: str, newest: int, oldest: int
    ) -> AsyncIterator[Sequence[int]]:
        if newest - oldest < PROBED_BUCKETS:
            yield range(newest, oldest - 1, -1)
            return
        for (bucket,) in await self._session.rows(self._buckets, author_id, newest, oldest):
            yield (bucket,)


def _author_and_bucket(key: tuple[str, int], *_: Any) -> bytes:
    author_id, bucket = key
    return routing_key(author_id.encode(), bucket.to_bytes(4))
