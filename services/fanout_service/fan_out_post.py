"""A new post: store it, decide push or pull, and deliver it or have it delivered.

The order of the steps is the argument that no follower misses a post. The post's pointer is written *before*
the author's standing and followers are read, and a new follower's edge is written before the backfill reads
the author's posts; so of a post and a follow that race, one always sees the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from fanfold.core.buckets import FollowerBucket, buckets_up_to, slices_total
from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.events import DeliverSlice, PostCreated
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Plan, Pointer, Stores, User
from fanfold.core.ports.log import EventLog, Record
from fanout_service.metrics import PLANNED_AFTER_SECONDS, POSTS_PLANNED
from fanout_service.push_or_pull import Strategy, strategy
from fanout_service.slices import Slices

COMMANDS_AT_ONCE = 1000
"""A celebrity-sized audience has 70,000 slices: their commands are appended in steps, not held all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOutPost:
    """The projection of `PostCreated`."""

    stores: Stores
    log: EventLog
    clock: Clock
    slices: Slices
    overlap_ms: int
    retention_ms: int

    async def project(self, event: PostCreated, record: Record) -> None:
        """Idempotent: a plan that was recorded is kept, and only what is not done of it is done."""
        await self.stores.posts.create(event.post_id, event.author_id, event.content)
        pointer = Pointer(event.post_id, event.author_id)
        # Together, uncached, and both after the post's row and pointer: see the top.
        plan, author = await asyncio.gather(
            self.stores.jobs.plan(event.post_id), self.stores.users.get(event.author_id)
        )
        done: Collection[FollowerBucket] = ()
        if plan is None:
            plan = await self._plan(pointer, author, record)
        elif plan.generation is not None:
            # Slices are delivered only after a plan: one that was written just now has none that are done.
            done = await self.stores.jobs.slices_done(event.post_id)
        if plan.generation is not None:
            await self._deliver(pointer, plan.generation, done, offset=record.offset)

    async def _plan(self, pointer: Pointer, author: User, record: Record) -> Plan:
        chosen = strategy(author, posted_at_ms=record.appended_at_ms, overlap_ms=self.overlap_ms)
        if created_at_ms(pointer.post_id) < self.clock.now_ms() - self.retention_ms:
            # In no feed any more (old history is being replayed): an author's own list is all that shows it.
            plan = self._plan_of("pull" if chosen == "pull" else "push", None)
        else:
            plan = await self._settle_mode(pointer, author, chosen, offset=record.offset)
        # The plan comes last, and vouches for all before it: whoever finds it goes on with its slices.
        await self.stores.jobs.write_plan(pointer.post_id, plan, offset=record.offset)
        POSTS_PLANNED.labels(chosen).inc()
        PLANNED_AFTER_SECONDS.observe(max(0, self.clock.now_ms() - record.appended_at_ms) / 1000)
        return plan

    async def _settle_mode(
        self, pointer: Pointer, author: User, chosen: Strategy, *, offset: int
    ) -> Plan:
        if chosen != "push":
            # Before the mode: a backfill leaves out what is marked `pull`, so such a post must be there to pull,
            # even if this worker dies here and the next one, with another count, decides to push.
            await self.stores.timelines.add_pulled(pointer, offset=offset)
        # A post of the overlap counts as pushed, and is backfilled like one.
        mode: Delivery = "pull" if chosen == "pull" else "push"
        await self.stores.posts.set_delivery(
            pointer.author_id, pointer.post_id, mode, offset=offset
        )
        return self._plan_of(mode, author if mode == "push" else None)

    def _plan_of(self, mode: Delivery, audience: User | None) -> Plan:
        return Plan(
            strategy=mode,
            planned=audience.follower_count if audience else 0,
            generation=audience.generation if audience else None,
            slices_total=slices_total(audience.generation) if audience else 0,
            started_at_ms=self.clock.now_ms(),
        )

    async def _deliver(
        self,
        pointer: Pointer,
        newest_generation: int,
        done: Collection[FollowerBucket],
        *,
        offset: int,
    ) -> None:
        missing = (slice_ for slice_ in buckets_up_to(newest_generation) if slice_ not in done)
        if slices_total(newest_generation) == 1:
            for bucket in missing:
                await self.slices.deliver(pointer, bucket, offset=offset)
            return
        # Dying between two appends leaves no plan half-queued for good: the record comes again, and what is not
        # done by then is queued again; a slice queued twice is skipped the second time.
        while commands := [_command(pointer, b) for b in islice(missing, COMMANDS_AT_ONCE)]:
            await self.log.append_many(commands)


def _command(pointer: Pointer, bucket: FollowerBucket) -> DeliverSlice:
    return DeliverSlice(
        post_id=pointer.post_id,
        author_id=pointer.author_id,
        generation=bucket.generation,
        bucket=bucket.bucket,
    )
