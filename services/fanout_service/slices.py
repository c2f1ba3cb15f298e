"""Delivering one slice: a pointer to one post into the timelines of one bucket of followers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from prometheus_client import Histogram

from fanfold.core import tracing
from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import Clock
from fanfold.core.events import DeliverSlice
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Plan, Pointer, SliceDone, Stores
from fanout_service.metrics import (
    DELIVERIES,
    DELIVERY_AGE_SECONDS,
    LAST_SLICE_AGE_SECONDS,
    SAVED_DELIVERIES,
    SLICE_SECONDS,
)
from fanout_service.recorded_event import RecordedEvent
from fanout_service.room import Room
from fanout_service.run_concurrently import run_concurrently

SLICES_AT_ONCE = 1024
"""More slices of one post than all workers deliver at a time. While more are missing, no worker delivers the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Delivers slices. `room` bounds the number of followers in this worker's memory.

    The age of posts created before `history_until_ms` is not measured: their slices are delivered again.
    """

    stores: Stores
    clock: Clock
    room: Room
    bucket_followers: int
    history_until_ms: int = 0

    async def deliver_only(
        self, pointer: Pointer, bucket: FollowerBucket, *, offset: int, followers: int
    ) -> None:
        """`deliver` the only slice of a post."""
        await self.deliver(pointer, bucket, offset=offset, followers=followers)
        self._observe_age(LAST_SLICE_AGE_SECONDS, pointer.post_id, self.clock.now_ms())

    async def deliver(
        self,
        pointer: Pointer,
        bucket: FollowerBucket,
        *,
        offset: int,
        followers: int | None = None,
    ) -> None:
        """Push to the bucket's current followers, then record the slice as done.

        `followers` is how many to expect, by default a whole bucket.
        """
        slice_of = {"fanfold.generation": bucket.generation, "fanfold.bucket": bucket.bucket}
        async with self.room.of(self.bucket_followers if followers is None else followers):
            with tracing.doing("deliver slice", slice_of):
                done = await self._push(pointer, bucket, offset=offset, followers=followers)
            self._observe_age(DELIVERY_AGE_SECONDS, pointer.post_id, done.finished_at_ms)

    async def _push(
        self, pointer: Pointer, bucket: FollowerBucket, *, offset: int, followers: int | None
    ) -> SliceDone:
        started_s = self.clock.monotonic_s()
        readers, asleep = await self.stores.follows.audience(
            pointer.author_id, bucket, expected=followers
        )
        rows = await self.stores.timelines.push([pointer], readers) if readers else 0
        # Only after the push: a slice that is done is never delivered again.
        done = SliceDone(rows, self.clock.now_ms())
        await self.stores.jobs.finish_slice(pointer.post_id, bucket, done, offset=offset)
        DELIVERIES.labels("fanout").inc(rows)
        SAVED_DELIVERIES.inc(asleep)
        SLICE_SECONDS.observe(self.clock.monotonic_s() - started_s)
        tracing.describe({"fanfold.rows": rows, "fanfold.asleep": asleep})
        return done

    async def project(self, commands: Sequence[RecordedEvent[DeliverSlice]]) -> None:
        """Deliver those slices of one post that aren't done: commands are redelivered, and plans queued twice."""
        post_id = commands[0].event.post_id
        jobs = self.stores.jobs
        plan, done = await asyncio.gather(jobs.plan(post_id), jobs.slices_done(post_id))
        missing = [
            recorded
            for recorded in commands
            if (recorded.event.generation, recorded.event.bucket) not in done
        ]
        await run_concurrently(self._deliver_command(recorded) for recorded in missing)
        if missing and plan is not None and plan.slices_total - len(done) <= SLICES_AT_ONCE:
            await self._observe_if_last(post_id, plan)

    async def _deliver_command(self, recorded: RecordedEvent[DeliverSlice]) -> None:
        record, command = recorded
        about = {"fanfold.post.id": str(command.post_id)}
        with tracing.processing(record, apart=True, about=about):
            await self.deliver(
                Pointer(command.post_id, command.author_id),
                FollowerBucket(command.generation, command.bucket),
                offset=record.offset,
            )

    async def _observe_if_last(self, post_id: UUID, plan: Plan) -> None:
        # Read again: other workers have delivered slices meanwhile. Two that end together may both see the last one.
        done = await self.stores.jobs.slices_done(post_id)
        if len(done) >= plan.slices_total:
            last_ms = max(part.finished_at_ms for part in done.values())
            self._observe_age(LAST_SLICE_AGE_SECONDS, post_id, last_ms)

    def _observe_age(self, histogram: Histogram, post_id: UUID, at_ms: int) -> None:
        if (created_ms := created_at_ms(post_id)) >= self.history_until_ms:
            # Clocks differ.
            histogram.observe(max(0, at_ms - created_ms) / 1000)
