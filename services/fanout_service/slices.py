"""Delivering one slice: a pointer to one post into the timelines of one follower bucket."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import Clock
from fanfold.core.events import DeliverSlice
from fanfold.core.ports import Pointer, SliceDone, Stores
from fanout_service.concurrently import concurrently
from fanout_service.entries import Entry
from fanout_service.metrics import DELIVERIES, SAVED_DELIVERIES, SLICE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Slices that take turns. `free` bounds those in delivery, and so the followers in this worker's memory."""

    stores: Stores
    clock: Clock
    free: asyncio.Semaphore

    async def deliver(self, pointer: Pointer, bucket: FollowerBucket, *, offset: int) -> None:
        """Push to the bucket's followers as they are now, then record the slice as done."""
        async with self.free:
            started_s = self.clock.monotonic_s()
            readers, asleep = await self.stores.follows.audience(pointer.author_id, bucket)
            rows = await self.stores.timelines.push([pointer], readers) if readers else 0
            # Only after the push: a slice that is done is never delivered again.
            done = SliceDone(rows, self.clock.now_ms())
            await self.stores.jobs.finish_slice(pointer.post_id, bucket, done, offset=offset)
            DELIVERIES.labels("fanout").inc(rows)
            SAVED_DELIVERIES.inc(asleep)
            SLICE_SECONDS.observe(self.clock.monotonic_s() - started_s)

    async def project(self, entries: Sequence[Entry]) -> None:
        """Deliver each `DeliverSlice` that is not done: a redelivered one, or one whose plan was queued twice."""
        of_post: dict[UUID, list[tuple[DeliverSlice, int]]] = defaultdict(list)
        for record, event in entries:
            if isinstance(event, DeliverSlice):
                of_post[event.post_id].append((event, record.offset))
        for post_id, commands in of_post.items():
            done = await self.stores.jobs.slices_done(post_id)
            await concurrently(
                self.deliver(
                    Pointer(post_id, command.author_id),
                    FollowerBucket(command.generation, command.bucket),
                    offset=offset,
                )
                for command, offset in commands
                if (command.generation, command.bucket) not in done
            )
