"""Delivering one slice: a pointer to one post into the timelines of one bucket of followers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import Clock
from fanfold.core.events import DeliverSlice
from fanfold.core.ports import Pointer, SliceDone, Stores
from fanout_service.metrics import DELIVERIES, SAVED_DELIVERIES, SLICE_SECONDS
from fanout_service.recorded_event import RecordedEvent
from fanout_service.room import Room
from fanout_service.run_concurrently import run_concurrently


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Delivers slices. `room` bounds the number of followers in this worker's memory."""

    stores: Stores
    clock: Clock
    room: Room
    bucket_followers: int

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
        async with self.room.of(self.bucket_followers if followers is None else followers):
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

    async def project(self, commands: Sequence[RecordedEvent[DeliverSlice]]) -> None:
        """Deliver those slices of one post that aren't done: commands are redelivered, and plans queued twice."""
        post_id = commands[0].event.post_id
        done = await self.stores.jobs.slices_done(post_id)
        await run_concurrently(
            self.deliver(
                Pointer(post_id, command.author_id),
                FollowerBucket(command.generation, command.bucket),
                offset=record.offset,
            )
            for record, command in commands
            if (command.generation, command.bucket) not in done
        )
