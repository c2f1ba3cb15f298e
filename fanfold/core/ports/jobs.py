"""The progress of each post's fan-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from fanfold.core.buckets import FollowerBucket
from fanfold.core.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fan-out is to do. A pulled post has no slices and 0 planned deliveries.

    `counted_offset` is the offset of the event that added the post to its author's count, and `uncounted_offset` that of the deletion
    that took it out again; None for neither.
    """

    strategy: Delivery
    planned: int
    generation: int | None
    slices_total: int
    started_at_ms: int
    counted_offset: int | None = None
    uncounted_offset: int | None = None


@dataclass(frozen=True, slots=True)
class SliceDone:
    """A finished slice: the number of rows written, and the time."""

    delivered: int
    finished_at_ms: int


class Jobs(Protocol):
    """The progress of each post's fan-out.

    Finished slices are kept as long as the post's pointers: until `Settings.keep_ms` after the post's creation. Those of an older post
    are not kept. A plan is kept for ever, because it also says which events counted the post.
    """

    async def plan(self, post_id: UUID) -> Plan | None:
        """The recorded plan, or None."""

    async def write_plan(self, post_id: UUID, plan: Plan, *, offset: int) -> None:
        """Record the plan, all of it but `uncounted_offset`."""

    async def uncount(self, post_id: UUID, *, offset: int) -> None:
        """Write `uncounted_offset = offset` into a plan that is recorded."""

    async def slices_done(self, post_id: UUID) -> dict[FollowerBucket, SliceDone]:
        """The finished slices."""

    async def finish_slice(
        self, post_id: UUID, bucket: FollowerBucket, done: SliceDone, *, offset: int
    ) -> None:
        """Record a finished slice."""
