"""How far a post's fan-out has come."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fanfold.core.clock import rfc3339
from fanfold.core.delivery import Delivery
from fanfold.core.ports import Jobs, Plan, SliceDone
from fanfold.http.openapi import Rfc3339
from fanfold.http.problems import needs


class FanoutStatus(BaseModel):
    """A fan-out, as its author sees it."""

    strategy: Delivery | None = Field(description="`push` or `pull`; null until it is planned.")
    status: Literal["pending", "running", "done"]
    planned: int = Field(description="Followers when it was planned; 0 for a pulled post.")
    delivered: int = Field(description="Timeline rows written.")
    slices_total: int
    slices_done: int
    started_at: Rfc3339 | None
    finished_at: Rfc3339 | None


async def read_fanout_status(post_id: UUID, *, jobs: Jobs) -> FanoutStatus:
    """The status of a post that exists."""
    with needs("the tables"):
        plan = await jobs.plan(post_id)
        done = await jobs.slices_done(post_id) if plan and plan.slices_total else {}
    return fanout_status(plan, done.values())


def fanout_status(plan: Plan | None, done: Collection[SliceDone]) -> FanoutStatus:
    """The status that a plan and its finished slices amount to."""
    if plan is None:
        return FanoutStatus(
            strategy=None,
            status="pending",
            planned=0,
            delivered=0,
            slices_total=0,
            slices_done=0,
            started_at=None,
            finished_at=None,
        )
    finished = len(done) >= plan.slices_total
    # A pulled post has no slices: it was done as soon as it was planned.
    last_ms = max((each.finished_at_ms for each in done), default=plan.started_at_ms)
    return FanoutStatus(
        strategy=plan.strategy,
        status="done" if finished else "running",
        planned=plan.planned,
        delivered=sum(each.delivered for each in done),
        slices_total=plan.slices_total,
        slices_done=len(done),
        started_at=rfc3339(plan.started_at_ms),
        finished_at=rfc3339(last_ms) if finished else None,
    )
