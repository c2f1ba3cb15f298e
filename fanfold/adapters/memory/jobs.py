"""`Jobs` in memory."""

from __future__ import annotations

from dataclasses import asdict, astuple
from uuid import UUID

from sortedcontainers import SortedSet

from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import Clock
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Plan, SliceDone

NO_SLICES = -1
"""A number in place of None, so that cells compare."""


class MemoryJobs:
    """See `fanfold.core.ports.Jobs`. Expired slices are removed at the next call about slices."""

    def __init__(self, *, keep_ms: int, clock: Clock) -> None:
        self._keep_ms = keep_ms
        self._clock = clock
        self._sliced: SortedSet = SortedSet()
        self._jobs: Table[UUID] = Table()
        self._slices: ClusteredTable[UUID, FollowerBucket] = ClusteredTable()

    async def plan(self, post_id: UUID) -> Plan | None:
        row = self._jobs.row(post_id)
        if row is None:
            return None
        generation = row.pop("generation")
        return Plan(**row, generation=None if generation == NO_SLICES else generation)

    async def write_plan(self, post_id: UUID, plan: Plan, *, offset: int) -> None:
        columns = {**asdict(plan), "uncounted_offset": None}
        if plan.generation is None:
            columns["generation"] = NO_SLICES
        given = {column: value for column, value in columns.items() if value is not None}
        self._jobs.write(post_id, offset, **given)

    async def uncount(self, post_id: UUID, *, offset: int) -> None:
        self._jobs.write(post_id, offset, uncounted_offset=offset)

    async def slices_done(self, post_id: UUID) -> dict[FollowerBucket, SliceDone]:
        self._expire()
        return {bucket: SliceDone(*row["done"]) for bucket, row in self._slices.rows(post_id)}

    async def finish_slice(
        self, post_id: UUID, bucket: FollowerBucket, done: SliceDone, *, offset: int
    ) -> None:
        self._slices.write(post_id, bucket, offset, done=astuple(done))
        self._sliced.add(post_id)
        self._expire()

    def _expire(self) -> None:
        # Post ids are in the order of their posts' creation.
        oldest_ms = self._clock.now_ms() - self._keep_ms
        while self._sliced and created_at_ms(self._sliced[0]) <= oldest_ms:
            self._slices.remove(self._sliced.pop(0))
