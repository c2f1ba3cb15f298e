"""`Jobs` in Cassandra."""

from __future__ import annotations

from operator import attrgetter
from uuid import UUID

from cassandra.query import UNSET_VALUE

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.timestamps import at_offset, ttl_of
from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import Clock
from fanfold.core.ports import Plan, SliceDone

NO_SLICES = -1
"""The generation of a pulled post's plan: null would be a tombstone."""

PLAN = """
SELECT post_id, strategy, planned, generation, slices_total, started_at_ms, counted_offset, uncounted_offset
FROM fanout_jobs WHERE post_id IN ?
"""
WRITE_PLAN = """
INSERT INTO fanout_jobs (post_id, strategy, planned, generation, slices_total, started_at_ms, counted_offset)
VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
UNCOUNT = "UPDATE fanout_jobs USING TIMESTAMP ? SET uncounted_offset = ? WHERE post_id = ?"
SLICES_DONE = (
    "SELECT generation, bucket, delivered, finished_at_ms FROM fanout_slices WHERE post_id = ?"
)
FINISH_SLICE = """
INSERT INTO fanout_slices (post_id, generation, bucket, delivered, finished_at_ms)
VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?
"""


class CassandraJobs:
    """See `fanfold.core.ports.Jobs`."""

    def __init__(
        self,
        session: CassandraSession,
        *,
        batches: BatchWriter,
        replica_sets: ReplicaSets,
        keep_ms: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self._batches = batches
        self._keep_ms = keep_ms
        self._clock = clock
        self._plan: MultiGet[UUID] = MultiGet(
            session,
            session.statement(PLAN),
            replica_sets=replica_sets,
            routing_key=attrgetter("bytes"),
        )
        self._write_plan = session.statement(WRITE_PLAN)
        self._uncount = session.statement(UNCOUNT)
        self._slices_done = session.statement(SLICES_DONE)
        self._finish_slice = session.statement(FINISH_SLICE)

    async def plan(self, post_id: UUID) -> Plan | None:
        row = await self._plan.row(post_id)
        if row is None:
            return None
        _, strategy, planned, generation, slices_total, started_at_ms, counted, uncounted = row
        return Plan(
            strategy=strategy,
            planned=planned,
            generation=None if generation == NO_SLICES else generation,
            slices_total=slices_total,
            started_at_ms=started_at_ms,
            counted_offset=counted,
            uncounted_offset=uncounted,
        )

    async def write_plan(self, post_id: UUID, plan: Plan, *, offset: int) -> None:
        await self._batches.write_row(
            self._write_plan,
            post_id,
            plan.strategy,
            plan.planned,
            NO_SLICES if plan.generation is None else plan.generation,
            plan.slices_total,
            plan.started_at_ms,
            UNSET_VALUE if plan.counted_offset is None else plan.counted_offset,
            at_offset(offset),
        )

    async def uncount(self, post_id: UUID, *, offset: int) -> None:
        await self._batches.write_row(self._uncount, at_offset(offset), offset, post_id)

    async def slices_done(self, post_id: UUID) -> dict[FollowerBucket, SliceDone]:
        rows = await self._session.rows(self._slices_done, post_id)
        return {
            FollowerBucket(generation, bucket): SliceDone(delivered, finished_at_ms)
            for generation, bucket, delivered, finished_at_ms in rows
        }

    async def finish_slice(
        self, post_id: UUID, bucket: FollowerBucket, done: SliceDone, *, offset: int
    ) -> None:
        ttl_s = ttl_of(post_id, keep_ms=self._keep_ms, now_ms=self._clock.now_ms())
        if ttl_s <= 0:
            return
        await self._batches.write_row(
            self._finish_slice,
            post_id,
            *bucket,
            done.delivered,
            done.finished_at_ms,
            at_offset(offset),
            ttl_s,
        )
