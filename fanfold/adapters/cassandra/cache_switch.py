"""`CacheSwitch` in Cassandra: one partition, so that a reader's question is one statement."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.clock import Clock
from fanfold.core.ports import CacheOutage
from fanfold.core.ports.cache_switch import EPOCH_KEPT_S, OFF_S

SHARD = 0

# Both in one mutation: an epoch that is seen must be seen to be off. Two updates, because each has its own TTL.
BEGIN = """
BEGIN UNLOGGED BATCH USING TIMESTAMP ?
UPDATE cache_outages USING TTL ? SET epoch = ? WHERE shard = ? AND writer_id = ?;
UPDATE cache_outages USING TTL ? SET off = ? WHERE shard = ? AND writer_id = ?;
APPLY BATCH
"""
# A column of its own, which names the epoch: the late end of one outage doesn't end the next. And it is no tombstone.
END = """
UPDATE cache_outages USING TIMESTAMP ? AND TTL ? SET ended = ? WHERE shard = ? AND writer_id = ?
"""
OUTAGES = "SELECT writer_id, epoch, off, ended FROM cache_outages WHERE shard = ?"


class CassandraCacheSwitch:
    """See `fanfold.core.ports.CacheSwitch`."""

    def __init__(self, session: CassandraSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._last_timestamp = 0
        self._begin = session.statement(BEGIN)
        self._end = session.statement(END)
        self._outages = session.statement(OUTAGES)

    async def outages(self) -> Sequence[CacheOutage]:
        rows = await self._session.rows(self._outages, SHARD)
        return [
            CacheOutage(writer_id, epoch, off=off is not None and off != ended)
            for writer_id, epoch, off, ended in rows
            if epoch is not None
        ]

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        row = (SHARD, writer_id)
        await self._session.run(
            self._begin, self._timestamp(), EPOCH_KEPT_S, epoch, *row, OFF_S, epoch, *row
        )

    async def end(self, writer_id: str, epoch: UUID) -> None:
        await self._session.run(self._end, self._timestamp(), EPOCH_KEPT_S, epoch, SHARD, writer_id)

    def _timestamp(self) -> int:
        """The order of the calls, whatever the clock does: an outage that began last must win."""
        self._last_timestamp = max(self._last_timestamp + 1, self._clock.now_ms() * 1000)
        return self._last_timestamp
