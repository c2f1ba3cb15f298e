"""Reads the per-author tables, whose partitions are time buckets, as one list, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from fanfold.adapters.cassandra.session import CassandraSession, Row, Statement
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
    """Walks the time buckets from the newest to the oldest."""

    def __init__(self, session: CassandraSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._buckets = session.statement(BUCKETS)

    async def rows(
        self,
        statement: Statement,
        author_id: str,
        *,
        before: UUID | None,
        since_ms: int,
        limit: int,
    ) -> list[Row]:
        """Rows of `statement`, which takes (author, bucket, below, at least, limit), newest first."""
        newest = time_bucket(before) if before else self._bucket_of_now()
        oldest = since_ms // TIME_BUCKET_MS
        bounds = (before or NEWEST_POST_ID, first_post_id_at(since_ms))
        found: list[Row] = []
        async for buckets in self._steps(author_id, newest, oldest):
            pages = await asyncio.gather(
                *(
                    self._session.rows(statement, author_id, bucket, *bounds, limit - len(found))
                    for bucket in buckets
                )
            )
            for page in pages:
                found.extend(page)
            if len(found) >= limit:
                break
        return found[:limit]

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
