"""A new post: store it, decide push or pull, and deliver it or queue its slices.

The order of the steps is why no follower misses a post. The post's pointer is written *before* the author's row and
followers are read, and a new follower's edge is written before the backfill reads the author's posts. So of a post and a
follow that race, one always sees the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice
from uuid import UUID

from fanfold.core.buckets import FollowerBucket, buckets_up_to, slices_total
from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.events import DeliverSlice, PostCreated
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Plan, Pointer, Stores, User
from fanfold.core.ports.log import EventLog, Record
from fanfold.core.settings import MS_PER_DAY
from fanout_service.keep_pulled import KeepPulled
from fanout_service.metrics import PLANNED_AFTER_SECONDS, POSTS_PLANNED
from fanout_service.post_counts import PostCounts
from fanout_service.push_or_pull import Strategy, strategy
from fanout_service.slices import Slices

COMMANDS_AT_ONCE = 1000
"""The largest audiences have 70,000 slices: their commands are appended in steps, not all held in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOutPost:
    """The projection of `PostCreated`."""

    stores: Stores
    log: EventLog
    clock: Clock
    slices: Slices
    post_counts: PostCounts
    pulled_authors: KeepPulled
    overlap_ms: int
    retention_ms: int

    async def project(self, event: PostCreated, record: Record) -> None:
        """Idempotent: a recorded plan is kept, and only its missing slices are delivered."""
        await self.stores.posts.create(event.post_id, event.author_id, event.content)
        pointer = Pointer(event.post_id, event.author_id)
        # Both uncached, and after the post's row and pointer: see the top.
        plan, author = await asyncio.gather(
            self.stores.jobs.plan(event.post_id), self.stores.users.get(event.author_id)
        )
        done: Collection[FollowerBucket] = ()
        if plan is None:
            plan = await self._plan(pointer, author, record)
        else:
            await self._count_again(pointer, author, plan, offset=record.offset)
            if plan.generation is not None:
                # Slices are delivered only after their plan is written: a new plan has no slice that is done.
                done = await self.stores.jobs.slices_done(event.post_id)
        # The slices of an old post have expired, and its pointers too.
        if plan.generation is not None and not self._is_history(event.post_id):
            await self._deliver(pointer, plan.generation, done, offset=record.offset)

    async def _plan(self, pointer: Pointer, author: User, record: Record) -> Plan:
        chosen = strategy(author, posted_at_ms=record.appended_at_ms, overlap_ms=self.overlap_ms)
        plan, _ = await asyncio.gather(
            self._decided(pointer, author, chosen, offset=record.offset),
            self.post_counts.add(author, None, offset=record.offset),
        )
        # The plan is written last: a worker that finds it after a crash continues with its slices.
        await self.stores.jobs.write_plan(pointer.post_id, plan, offset=record.offset)
        POSTS_PLANNED.labels(chosen).inc()
        PLANNED_AFTER_SECONDS.observe(max(0, self.clock.now_ms() - record.appended_at_ms) / 1000)
        return plan

    async def _decided(
        self, pointer: Pointer, author: User, chosen: Strategy, *, offset: int
    ) -> Plan:
        if self._is_history(pointer.post_id):
            # A replay of old history. No feed shows the post any more, only the author's own list.
            plan = self._plan_of("pull" if chosen == "pull" else "push", None)
        else:
            plan = await self._record_delivery(pointer, author, chosen, offset=offset)
        return replace(plan, counted_offset=offset)

    def _is_history(self, post_id: UUID) -> bool:
        """Whether no feed shows the post any more: a replay of the log has come to it."""
        return created_at_ms(post_id) < self.clock.now_ms() - self.retention_ms

    async def _count_again(
        self, pointer: Pointer, author: User, plan: Plan, *, offset: int
    ) -> None:
        """Count a post that is planned, where the count lacks it."""
        await self.post_counts.add(author, plan, offset=offset)
        if plan.counted_offset is None:
            # A version that counted no posts has planned it.
            counted = replace(plan, counted_offset=offset)
            await self.stores.jobs.write_plan(pointer.post_id, counted, offset=offset)

    async def _record_delivery(
        self, pointer: Pointer, author: User, chosen: Strategy, *, offset: int
    ) -> Plan:
        if chosen != "push":
            # Before the delivery is recorded: a backfill leaves out posts marked `pull`, so such a post must be there to
            # pull, even if this worker dies here and the next one, which sees another count, decides to push.
            expires_ms = created_at_ms(pointer.post_id) + self.retention_ms + MS_PER_DAY
            await self.pulled_authors.keep(pointer.author_id, until_ms=expires_ms)
            await self.stores.timelines.add_pulled(pointer)
        # A post of the overlap counts as pushed, and is backfilled like a pushed post.
        delivery: Delivery = "pull" if chosen == "pull" else "push"
        await self.stores.posts.set_delivery(
            pointer.author_id, pointer.post_id, delivery, offset=offset
        )
        return self._plan_of(delivery, author if delivery == "push" else None)

    def _plan_of(self, delivery: Delivery, audience: User | None) -> Plan:
        return Plan(
            strategy=delivery,
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
        missing = (bucket for bucket in buckets_up_to(newest_generation) if bucket not in done)
        if slices_total(newest_generation) == 1:
            for bucket in missing:
                await self.slices.deliver(pointer, bucket, offset=offset)
            return
        # A crash between two appends queues a part of the plan. Then the record is redelivered, and the slices that are
        # not done by then are queued again. A slice that is queued twice is skipped the second time.
        while commands := [
            _command(pointer, bucket) for bucket in islice(missing, COMMANDS_AT_ONCE)
        ]:
            await self.log.append_many(commands)


def _command(pointer: Pointer, bucket: FollowerBucket) -> DeliverSlice:
    return DeliverSlice(
        post_id=pointer.post_id,
        author_id=pointer.author_id,
        generation=bucket.generation,
        bucket=bucket.bucket,
    )
