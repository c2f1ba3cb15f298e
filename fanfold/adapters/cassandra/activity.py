"""`Activity` in Cassandra."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.session import CassandraSession

NOTE_READ = "UPDATE feed_reads USING TIMESTAMP ? SET last_read_ms = ? WHERE user_id = ?"
LAST_READ = "SELECT last_read_ms FROM feed_reads WHERE user_id = ?"


class CassandraActivity:
    """See `fanfold.core.ports.Activity`."""

    def __init__(self, session: CassandraSession, *, batches: BatchWriter) -> None:
        self._session = session
        self._batches = batches
        self._note_read = session.statement(NOTE_READ)
        self._last_read = session.statement(LAST_READ)

    async def note_reads(self, at_ms: Mapping[str, int]) -> None:
        row = self._session.packing(self._note_read).row
        await self._batches.write(
            [row(read_ms * 1000, read_ms, user_id) for user_id, read_ms in at_ms.items()]
        )

    async def last_reads(self, user_ids: Collection[str]) -> Mapping[str, int]:
        ids = list(dict.fromkeys(user_ids))
        rows = await asyncio.gather(
            *(self._session.row(self._last_read, user_id) for user_id in ids)
        )
        return {user_id: row[0] for user_id, row in zip(ids, rows, strict=True) if row is not None}
