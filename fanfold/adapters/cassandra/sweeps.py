"""`Sweeps` in Cassandra."""

from __future__ import annotations

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.ports import SweepCheckpoint

CHECKPOINT = "SELECT after_id, users, last_users, at_ms FROM activity_sweeps WHERE shard = 0"
WRITE_CHECKPOINT = """
INSERT INTO activity_sweeps (shard, after_id, users, last_users, at_ms) VALUES (0, ?, ?, ?, ?) USING TIMESTAMP ?
"""


class CassandraSweeps:
    """See `fanfold.core.ports.Sweeps`."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._checkpoint = session.statement(CHECKPOINT)
        self._write_checkpoint = session.statement(WRITE_CHECKPOINT)

    async def checkpoint(self) -> SweepCheckpoint:
        row = await self._session.row(self._checkpoint)
        if row is None:
            return SweepCheckpoint()
        after_id, *others = row
        return SweepCheckpoint(after_id or None, *others)

    async def write(self, checkpoint: SweepCheckpoint) -> None:
        # Null would be a tombstone.
        after_id = checkpoint.after_id or ""
        await self._session.run(
            self._write_checkpoint,
            after_id,
            checkpoint.users,
            checkpoint.last_users,
            checkpoint.at_ms,
            checkpoint.at_ms * 1000,
        )
