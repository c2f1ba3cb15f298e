"""The progress of a post's fan-out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fanfold.core.clock import rfc3339
from fanfold.core.delivery import Delivery
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Jobs, Plan, SliceDone
from fanfold.http.openapi import Rfc3339


class FanoutStatus(BaseModel):
    """The progress of a fan-out, for the author of the post."""

    strategy: Delivery | None = Field(description="`push` or `pull`; null until it is planned.")
    status: Literal["pending", "running", "done", "expired"] = Field(
        description="`expired`: the post is older than any feed reaches. What was delivered is no longer kept: `delivered` and "
        "`slices_done` are 0."
    )
    planned: int = Field(description="Followers when it was planned; 0 for a pulled post.")
    delivered: int = Field(description="Timeline rows written.")
    slices_total: int
    slices_done: int
    started_at: Rfc3339 | None
    first_slice_at: Rfc3339 | None = Field(
        description="When the first slice was finished; null for a pulled post."
    )
    finished_at: Rfc3339 | None


async def read_fanout_status(post_id: UUID, *, jobs: Jobs, kept_since_ms: int) -> FanoutStatus:
    """The status of a post that exists. Finished slices of posts created at or before `kept_since_ms` are no longer kept."""
    plan = await jobs.plan(post_id)
    done = await jobs.slices_done(post_id) if plan and plan.slices_total else {}
    return fanout_status(plan, done.values(), expired=created_at_ms(post_id) <= kept_since_ms)


def fanout_status(
    plan: Plan | None, done: Collection[SliceDone], *, expired: bool = False
) -> FanoutStatus:
    """The status of a plan of which these slices are finished; `expired`: finished slices are no longer kept."""
    if plan is None:
        return FanoutStatus(
            strategy=None,
            status="pending",
            planned=0,
            delivered=0,
            slices_total=0,
            slices_done=0,
            started_at=None,
            first_slice_at=None,
            finished_at=None,
        )
    finished = len(done) >= plan.slices_total
    # A pulled post has no slices: it is done as soon as it is planned.
    first_ms = min((part.finished_at_ms for part in done), default=None)
    last_ms = max((part.finished_at_ms for part in done), default=plan.started_at_ms)
    return FanoutStatus(
        strategy=plan.strategy,
        status="done" if finished else "expired" if expired else "running",
        planned=plan.planned,
        delivered=sum(part.delivered for part in done),
        slices_total=plan.slices_total,
        slices_done=len(done),
        started_at=rfc3339(plan.started_at_ms),
        first_slice_at=None if first_ms is None else rfc3339(first_ms),
        finished_at=rfc3339(last_ms) if finished else None,
    )
