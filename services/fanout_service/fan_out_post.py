"""A new post: store it, decide push or pull, and deliver it or queue its slices.

The order of the steps is why no follower misses a post. The post's pointer is written *before* the author's row and
followers are read, and a new follower's edge is written before the backfill reads the author's posts. So of a post and a
follow that race, one always sees the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from fanfold.core import tracing
from fanfold.core.buckets import FollowerBucket, buckets_up_to, slices_total
from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.events import DeliverSlice, PostCreated
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Plan, Pointer, Stores, User
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import MS_PER_DAY
from fanout_service.keep_pulled import KeepPulled
from fanout_service.metrics import PLANNED_AFTER_SECONDS, POSTS_PLANNED
from fanout_service.post_counts import PostCounts
from fanout_service.push_or_pull import Strategy, strategy
from fanout_service.recorded_event import RecordedEvent
from fanout_service.run_concurrently import run_concurrently
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

    async def project(self, group: Sequence[RecordedEvent[PostCreated]]) -> None:
        """Project posts of one author, or none, step by step for all of them.

        Idempotent: a recorded plan is kept, and only its missing slices are delivered.
        """
        if not group:
            return
        # A retried publication may have appended a post twice: the second event must find the plan of the first.
        first = {event.post_id: RecordedEvent(record, event) for record, event in reversed(group)}
        await self._project(sorted(first.values(), key=lambda posted: posted.record.offset))
        again = [posted for posted in group if first[posted.event.post_id].record != posted.record]
        if again:
            await self.project(again)

    async def _project(self, group: Sequence[RecordedEvent[PostCreated]]) -> None:
        create = self.stores.posts.create
        await run_concurrently(
            create(event.post_id, event.author_id, event.content) for _, event in group
        )
        # All uncached, and after the posts' rows and pointers: see the top.
        author, plans = await asyncio.gather(
            self.stores.users.get(group[0].event.author_id),
            asyncio.gather(*(self.stores.jobs.plan(event.post_id) for _, event in group)),
        )
        planned = list(zip(group, plans, strict=True))
        # All that a recorded plan vouches for.
        await run_concurrently(
            [
                self.post_counts.add(
                    author, [(plan, posted.record.offset) for posted, plan in planned]
                ),
                self._mark_all([posted for posted, plan in planned if plan is None], author),
            ]
        )
        await run_concurrently(self._traced(posted, author, plan) for posted, plan in planned)

    async def _mark_all(self, group: Sequence[RecordedEvent[PostCreated]], author: User) -> None:
        new = [posted for posted in group if not self._is_history(posted)]
        expiries = [
            created_at_ms(posted.event.post_id) + self.retention_ms + MS_PER_DAY
            for posted in new
            if self._strategy(posted, author) != "push"
        ]
        if expiries:
            # First, for the same reason as the pointer below.
            await self.pulled_authors.keep(author.user_id, until_ms=max(expiries))
        await run_concurrently(self._mark(posted, self._strategy(posted, author)) for posted in new)

    async def _mark(self, posted: RecordedEvent[PostCreated], chosen: Strategy) -> None:
        """Record how the post is delivered."""
        pointer = Pointer(posted.event.post_id, posted.event.author_id)
        if chosen != "push":
            # Also of a post that goes both ways. Before the delivery is recorded: a backfill leaves out posts marked `pull`, so such a post must be there to
            # pull, even if this worker dies here and the next one, which sees another count, decides to push.
            await self.stores.timelines.add_pulled(pointer)
        await self.stores.posts.set_delivery(
            pointer.author_id, pointer.post_id, _delivery(chosen), offset=posted.record.offset
        )

    async def _traced(
        self, posted: RecordedEvent[PostCreated], author: User, plan: Plan | None
    ) -> None:
        if plan is not None:
            # Delivered again, by a replay perhaps: the trace has its plan.
            await self._fan_out(posted, author, plan)
            return
        about = {"fanfold.post.id": str(posted.event.post_id)}
        with tracing.processing(posted.record, apart=False, about=about):
            await self._fan_out(posted, author, plan)

    async def _fan_out(
        self, posted: RecordedEvent[PostCreated], author: User, plan: Plan | None
    ) -> None:
        record, event = posted
        pointer = Pointer(event.post_id, event.author_id)
        done: Collection[FollowerBucket] = ()
        if plan is None:
            plan = await self._plan(posted, pointer, author)
        else:
            if plan.counted_offset is None:
                # A version that counted no posts has planned it.
                plan = replace(plan, counted_offset=record.offset)
                await self.stores.jobs.write_plan(event.post_id, plan, offset=record.offset)
            if plan.generation is not None:
                # Slices are delivered only after their plan is written: a new plan has no slice that is done.
                done = await self.stores.jobs.slices_done(event.post_id)
        # The slices of an old post have expired, and its pointers too.
        if plan.generation is not None and not self._is_history(posted):
            await self._deliver(pointer, plan, done, offset=record.offset)

    async def _plan(
        self, posted: RecordedEvent[PostCreated], pointer: Pointer, author: User
    ) -> Plan:
        record = posted.record
        chosen = self._strategy(posted, author)
        delivery = _delivery(chosen)
        audience = author if delivery == "push" and not self._is_history(posted) else None
        plan = replace(self._plan_of(delivery, audience), counted_offset=record.offset)
        # The plan is written last: a worker that finds it after a crash continues with its slices.
        await self.stores.jobs.write_plan(pointer.post_id, plan, offset=record.offset)
        tracing.describe({"fanfold.strategy": chosen, "fanfold.slices": plan.slices_total})
        POSTS_PLANNED.labels(chosen).inc()
        PLANNED_AFTER_SECONDS.observe(max(0, self.clock.now_ms() - record.appended_at_ms) / 1000)
        return plan

    def _strategy(self, posted: RecordedEvent[PostCreated], author: User) -> Strategy:
        return strategy(
            author, posted_at_ms=posted.record.appended_at_ms, overlap_ms=self.overlap_ms
        )

    def _is_history(self, posted: RecordedEvent[PostCreated]) -> bool:
        """A replay of old history: no feed shows the post any more, only the author's own list."""
        return created_at_ms(posted.event.post_id) < self.clock.now_ms() - self.retention_ms

    def _plan_of(self, delivery: Delivery, audience: User | None) -> Plan:
        return Plan(
            strategy=delivery,
            planned=audience.follower_count if audience else 0,
            generation=audience.generation if audience else None,
            slices_total=slices_total(audience.generation) if audience else 0,
            started_at_ms=self.clock.now_ms(),
        )

    async def _deliver(
        self, pointer: Pointer, plan: Plan, done: Collection[FollowerBucket], *, offset: int
    ) -> None:
        newest = plan.generation or 0
        missing = (bucket for bucket in buckets_up_to(newest) if bucket not in done)
        if slices_total(newest) == 1:
            for bucket in missing:
                await self.slices.deliver_only(
                    pointer, bucket, offset=offset, followers=plan.planned
                )
            return
        # A crash between two appends queues a part of the plan. Then the record is redelivered, and the slices that are
        # not done by then are queued again. A slice that is queued twice is skipped the second time.
        while commands := [
            _command(pointer, bucket) for bucket in islice(missing, COMMANDS_AT_ONCE)
        ]:
            await self.log.append_many(commands)


def _delivery(chosen: Strategy) -> Delivery:
    """A post of the overlap counts as pushed, and is backfilled like a pushed post."""
    return "pull" if chosen == "pull" else "push"


def _command(pointer: Pointer, bucket: FollowerBucket) -> DeliverSlice:
    return DeliverSlice(
        post_id=pointer.post_id,
        author_id=pointer.author_id,
        generation=bucket.generation,
        bucket=bucket.bucket,
    )
