"""Posts through the whole pipeline, from the append to the last slice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from bench.processes import Costs
from bench.stack import System
from fanfold.core.events import PostCreated
from fanfold.core.ports import Jobs, SliceDone

_POLL_S = 0.05
_WITHIN_S = 300.0


class WrongResult(Exception):
    """The measured system gave a wrong result, so none of its figures counts."""


@dataclass(frozen=True, slots=True)
class Fanned:
    """The time and cost of some fan-outs, from before their append to the end that the worker recorded."""

    rows: int
    elapsed_s: float
    cpu: Costs

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.elapsed_s

    def cpu_us_a_row(self, name: str) -> float:
        return self.cpu.of[name] / self.rows * 1e6


async def fan_out(
    system: System, posts: Sequence[PostCreated], *, audience: int, pids: Mapping[str, int]
) -> Fanned:
    """Append the posts, wait for their fan-outs, check that each wrote as many rows as its author has followers."""
    before, started_ms = Costs.now(pids), time.time() * 1000
    await system.log.append_many(posts)
    ended_ms, rows = started_ms, 0
    for post in posts:
        slices = await finished(system.stores.jobs, post.post_id, poll_s=_POLL_S)
        delivered = sum(slice_done.delivered for slice_done in slices)
        if delivered != audience:
            raise WrongResult(f"{delivered} deliveries to {audience} followers")
        rows += delivered
        ended_ms = max([ended_ms, *(slice_done.finished_at_ms for slice_done in slices)])
    # The worker records whole milliseconds.
    return Fanned(rows, max(1.0, ended_ms - started_ms) / 1000, Costs.now(pids).since(before))


async def finished(jobs: Jobs, post_id: UUID, *, poll_s: float) -> list[SliceDone]:
    """The slices of a post once all are done."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        plan = await jobs.plan(post_id)
        if plan is not None:
            done = await jobs.slices_done(post_id)
            if len(done) >= plan.slices_total:
                return list(done.values())
        await asyncio.sleep(poll_s)
    raise WrongResult(f"post {post_id} was not fanned out within {_WITHIN_S:.0f} s")
