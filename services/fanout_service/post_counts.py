"""How many posts each author has, without deleted ones: exact, however often an event is handled.

The author's row holds the count with the offset of the last event in it, and the post's plan says which events have counted the post.
The count is written first and the plan second. So an event that has not reached the count by its offset is one that the plan
does not name, or names because the count's row is lost or restored: it is counted then. One author's events have one key, and
are handled in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fanfold.core.ports import Jobs, Plan, User, Users


@dataclass(frozen=True, slots=True, kw_only=True)
class PostCounts:
    """Counts creations and deletions. Idempotent."""

    users: Users
    jobs: Jobs

    async def add(self, author: User, creations: Sequence[tuple[Plan | None, int]]) -> None:
        """Count creations, in the log's order, before the plans that name their offsets are written.

        Each is the plan that was recorded before, and the event's offset. The second creation under one id, as a retry of a publication
        may append it, adds nothing: it must come with the plan of the first.
        """
        added = [
            (offset, plan is None or plan.counted_offset in (None, offset))
            for plan, offset in creations
            if author.post_offset is None or author.post_offset < offset
        ]
        if added:
            count = author.post_count + sum(first for _, first in added)
            await self._write(author, count, offset=added[-1][0])

    async def remove(self, post_id: UUID, author_id: str, *, offset: int) -> None:
        """Count a deletion: the first one of a post that was counted."""
        plan, author = await asyncio.gather(self.jobs.plan(post_id), self.users.get(author_id))
        first = (
            plan is not None
            and plan.counted_offset is not None
            and plan.uncounted_offset in (None, offset)
        )
        await self._write(author, author.post_count - first, offset=offset)
        if first:
            await self.jobs.uncount(post_id, offset=offset)

    # The offset is written also where nothing is added: a read that waits for the event then knows that the count is right.
    async def _write(self, author: User, post_count: int, *, offset: int) -> None:
        if author.post_offset is None or author.post_offset < offset:
            await self.users.write_post_count(author.user_id, post_count, offset=offset)
