"""`PulledAuthors` in Cassandra."""

from __future__ import annotations

import asyncio
import zlib

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import MAX_TTL_S
from fanfold.core.clock import Clock
from fanfold.core.ports import PulledAuthor, PulledPage
from fanfold.core.ports.pulled_authors import ANNOUNCED_KEPT_MS

SHARDS = 16
MS_PER_HOUR = 3_600_000
# Another machine's clock may be ahead, and its announcements in an hour that has not begun on this one.
AHEAD_MS = 60_000

GET = "SELECT until_ms, announced FROM pulled_authors WHERE shard = ? AND author_id = ?"
KEEP = """
UPDATE pulled_authors USING TIMESTAMP ? AND TTL ? SET until_ms = ? WHERE shard = ? AND author_id = ?
"""
MARK_ANNOUNCED = """
UPDATE pulled_authors USING TIMESTAMP ? AND TTL ? SET announced = true WHERE shard = ? AND author_id = ?
"""
ANNOUNCE = """
INSERT INTO newly_pulled (hour, at_ms, author_id) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?
"""
ANNOUNCED = "SELECT author_id FROM newly_pulled WHERE hour = ? AND at_ms >= ?"
PAGE = "SELECT author_id FROM pulled_authors WHERE shard = ? AND author_id > ? LIMIT ?"


class CassandraPulledAuthors:
    """See `fanfold.core.ports.PulledAuthors`."""

    def __init__(self, session: CassandraSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._get = session.statement(GET)
        self._keep = session.statement(KEEP)
        self._mark_announced = session.statement(MARK_ANNOUNCED)
        self._announce = session.statement(ANNOUNCE)
        self._announced = session.statement(ANNOUNCED)
        self._page = session.statement(PAGE)

    async def get(self, author_id: str) -> PulledAuthor | None:
        row = await self._session.row(self._get, *_key(author_id))
        if row is None or row[0] is None:
            return None
        return PulledAuthor(row[0], bool(row[1]))

    async def keep(self, author_id: str, *, until_ms: int) -> None:
        if (ttl_s := self._ttl_s(until_ms)) > 0:
            timestamp = until_ms * 1000
            await self._session.run(self._keep, timestamp, ttl_s, until_ms, *_key(author_id))

    async def mark_announced(self, author_id: str, *, until_ms: int) -> None:
        if (ttl_s := self._ttl_s(until_ms)) > 0:
            await self._session.run(self._mark_announced, until_ms * 1000, ttl_s, *_key(author_id))

    async def announce(self, author_id: str, *, at_ms: int) -> None:
        row = (at_ms // MS_PER_HOUR, at_ms, author_id)
        await self._session.run(self._announce, *row, at_ms * 1000, ANNOUNCED_KEPT_MS // 1000)

    async def announced(self, *, since_ms: int) -> list[str]:
        now_ms = self._clock.now_ms()
        since_ms = max(since_ms, now_ms - ANNOUNCED_KEPT_MS)
        hours = range(since_ms // MS_PER_HOUR, (now_ms + AHEAD_MS) // MS_PER_HOUR + 1)
        pages = await asyncio.gather(
            *(self._session.rows(self._announced, hour, since_ms) for hour in hours)
        )
        return [author_id for rows in pages for (author_id,) in rows]

    async def page(self, after: tuple[int, str] | None, *, limit: int) -> PulledPage:
        shard, last = after or (0, "")
        rows = await self._session.rows(self._page, shard, last, limit)
        found = [author_id for (author_id,) in rows]
        if len(found) == limit:
            return PulledPage(found, (shard, found[-1]))
        return PulledPage(found, (shard + 1, "") if shard + 1 < SHARDS else None)

    def _ttl_s(self, until_ms: int) -> int:
        return min(-(-(until_ms - self._clock.now_ms()) // 1000), MAX_TTL_S)


def _key(author_id: str) -> tuple[int, str]:
    return zlib.crc32(author_id.encode()) % SHARDS, author_id
