"""Follows across a block: the worker ends them, whichever of the two it projects first.

The API refuses a follow across a block that the tables show. A block that is not projected yet can't be seen there, and follows and
blocks lie in different partitions. So the worker of a follow writes the edge first and reads the blocks second; the worker of a block
writes its rows first and reads the edges second. One of the two sees the other, and appends an unfollow. Both may: an
unfollow more changes nothing.

Both look at the tables, which may be behind the log. When tables are rebuilt, a block is projected whose end lies further on, and perhaps
a new follow after it. So only recent records end follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fanfold.core.clock import Clock
from fanfold.core.events import GraphEvent, UserFollowed
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanout_service.edges import edges_to, newest_edges
from fanout_service.end_follows import end_follows
from fanout_service.recorded_event import RecordedEvent

RECENT_MS = 10 * 60 * 1000
"""More than the lag of a worker that restarts or hands over its partitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedFollows:
    """Ends active follows across active blocks. A repetition appends at most one unfollow for each follow that is still active.

    Records appended before `history_until_ms` have been processed to the end by an earlier process.
    """

    stores: Stores
    log: EventLog
    clock: Clock
    history_until_ms: int = 0

    async def project(self, group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        """End the follows of one followee that cross a block. `Follows` must have written their edges."""
        followee_id = group[0].event.key
        followed_ms = {
            event.follower_id: record.appended_at_ms
            for record, event in group
            if isinstance(event, UserFollowed) and self._is_recent(record.appended_at_ms)
        }
        if not followed_ms:
            return
        blocks = await self.stores.ties.blocks_with(followee_id, followed_ms)
        blocked = dict.fromkeys(tie.other_id for tie in blocks if tie.active)
        pairs = [(follower_id, followee_id) for follower_id in blocked]
        await self._end_active(pairs, at_ms=max(followed_ms.values()))

    async def end_between(self, user_id: str, other_id: str, *, appended_at_ms: int) -> None:
        """End the follows between two users in both directions. The rows of their block must have been written.

        `appended_at_ms` is when the log took the block.
        """
        if not self._is_recent(appended_at_ms):
            return
        pairs = [(user_id, other_id), (other_id, user_id)]
        await self._end_active(pairs, at_ms=appended_at_ms)

    def _is_recent(self, appended_at_ms: int) -> bool:
        return appended_at_ms >= max(self.history_until_ms, self.clock.now_ms() - RECENT_MS)

    async def _end_active(self, pairs: Iterable[tuple[str, str]], *, at_ms: int) -> None:
        # Only active ones: a redelivery after the unfollow is projected appends nothing.
        active = [pair for pair in pairs if await self._follows(*pair)]
        await end_follows(active, log=self.log, at_ms=at_ms)

    async def _follows(self, follower_id: str, followee_id: str) -> bool:
        followee = await self.stores.users.get(followee_id)
        edges = newest_edges(await edges_to(followee, [follower_id], stores=self.stores))
        return any(edge.active for edge in edges.values())
