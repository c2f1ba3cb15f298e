"""Who sleeps and who is gone, in Cassandra: the part of `Graph` that concerns users who don't read."""

from __future__ import annotations

from collections.abc import Sequence

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.packed import Packing
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.buckets import follower_bucket

SET_ASLEEP = "UPDATE users USING TIMESTAMP ? SET asleep = ?, asleep_position = ? WHERE user_id = ?"
BEGIN_WAKING = "UPDATE users USING TIMESTAMP ? SET woke_position = ? WHERE user_id = ?"
MARK_ASLEEP = """
INSERT INTO followers_by_user (user_id, generation, bucket, follower_id, asleep)
VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
LEAVE = "UPDATE users USING TIMESTAMP ? SET has_left = true WHERE user_id = ?"


class Sleepers:
    """See `fanfold.core.ports.Graph`."""

    def __init__(self, session: CassandraSession, *, batches: BatchWriter) -> None:
        self._session = session
        self._batches = batches
        self._set_asleep = session.statement(SET_ASLEEP)
        self._begin_waking = session.statement(BEGIN_WAKING)
        self._mark_asleep = session.statement(MARK_ASLEEP)
        self._leave = session.statement(LEAVE)

    async def set_asleep(self, user_id: str, *, asleep: bool, at: int) -> None:
        await self._session.run(self._set_asleep, at_offset(at), asleep, at, user_id)

    async def begin_waking(self, user_id: str, *, at: int) -> None:
        await self._session.run(self._begin_waking, at_offset(at), at, user_id)

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, at: int
    ) -> None:
        packing = Packing(self._session.prepared(self._mark_asleep))
        await self._batches.write(
            packing.row(
                followee_id,
                generation,
                follower_bucket(follower_id, generation),
                follower_id,
                asleep,
                at_offset(at),
            )
            for followee_id, generation in edges
        )

    async def leave(self, user_id: str, *, at: int) -> None:
        await self._session.run(self._leave, at_offset(at), user_id)
