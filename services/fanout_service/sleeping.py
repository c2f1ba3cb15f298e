"""Users who read nothing: no post is delivered to them, and when they come back, their timeline is filled again.

While a user sleeps, the feed pulls every followee, so the timeline may lack posts. The order of steps is why it lacks none once it is used
again.
A fan-out writes its post's pointer first and reads the marks second. An awakening clears the marks first and reads the posts
second. So of a post and an awakening that race, either the delivery finds no mark, or the copy finds the post. Rows of ended follows
take part too: if such a follow began again at that moment, its old mark would keep deliveries away, and nothing would
copy the posts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from fanfold.core.events import (
    ActivityEvent,
    MaterialiseTimeline,
    UnderWay,
    UserFellAsleep,
    UserWoke,
)
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog
from fanout_service.backfill import Backfill
from fanout_service.recorded_event import RecordedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeping:
    """The projection of the activity topic, and the steps that follow from an awakening.

    A step copies posts of `followees` followees; `marked` edges are marked at a time.
    """

    stores: Stores
    log: EventLog
    backfill: Backfill
    followees: int = 100
    marked: int = 100

    async def project(self, group: Sequence[RecordedEvent[ActivityEvent]]) -> None:
        """Project events of one user."""
        for record, event in group:
            match event:
                case UserFellAsleep():
                    await self._fall_asleep(event.user_id, offset=record.offset)
                case UserWoke():
                    await self._wake(event.user_id, offset=record.offset)
                case _:
                    assert_never(event)

    async def _fall_asleep(self, user_id: str, *, offset: int) -> None:
        if _superseded(await self.stores.users.get(user_id), offset):
            return
        # The state first: once a mark is set, no reader may use the timeline.
        await self.stores.users.set_asleep(user_id, asleep=True, offset=offset)
        await self._mark(user_id, asleep=True, offset=offset)

    async def _wake(self, user_id: str, *, offset: int) -> None:
        user = await self.stores.users.get(user_id)
        if _superseded(user, offset):
            return
        if not user.asleep:
            await self.stores.users.set_asleep(user_id, asleep=False, offset=offset)
            return
        # Before `_mark` reads the follows whose marks to clear: see there.
        await self.stores.users.begin_waking(user_id, offset=offset)
        await self._mark(user_id, asleep=False, offset=offset)
        # The marks before the posts: see the top.
        await self.log.append(MaterialiseTimeline(user_id=user_id, woke_offset=offset))

    async def _mark(self, user_id: str, *, asleep: bool, offset: int) -> None:
        """Mark the edges to all followees."""
        followee_ids = await self.stores.follows.followee_ids(user_id)
        for start in range(0, len(followee_ids), self.marked):
            edges = await self._edges(user_id, followee_ids[start : start + self.marked])
            if asleep and _superseded(await self.stores.users.get(user_id), offset):
                # Another worker has taken over and woken the user. It clears the marks of the follows that it found. This one
                # could set a mark on a later follow, which would never be cleared.
                return
            await self.stores.follows.mark_asleep(user_id, edges, asleep=asleep, offset=offset)

    async def _edges(self, user_id: str, followee_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        """The edges to those followees, as (followee id, generation) pairs.

        They are looked up, not guessed: a followee's first generation is one partition, and with a row there for every
        sleeper it would have no bound. Edges are never removed, so clearing finds every edge that was marked.
        """
        newest = await self.stores.users.generations(followee_ids)
        # An edge on the user's side was written after the other side, and that after the followee's generation. So with no more
        # than one generation now, there is one place where it can be.
        edges = [(followee_id, 0) for followee_id, last in newest.items() if last == 0]
        grown = {followee_id: last for followee_id, last in newest.items() if last > 0}
        # One generation after another, so that at most `marked` rows are read at a time.
        for generation in range(max(grown.values(), default=-1) + 1):
            candidates = [followee_id for followee_id, last in grown.items() if last >= generation]
            found = await self.stores.follows.follower_edges(candidates, generation, [user_id])
            edges += [(followee_id, generation) for followee_id, _ in found]
        return edges

    async def materialise(self, event: MaterialiseTimeline) -> None:
        """One step of an awakening. Repeated, it copies the same again and may queue the rest twice."""
        user = await self.stores.users.get(event.user_id)
        if _or_before_all(user.asleep_offset) > event.woke_offset:
            return  # asleep again, or woken once more
        if _or_before_all(user.woke_offset) < event.woke_offset:
            # Queued by a worker on other tables, before a replay into these: here the awakening has yet to clear the marks.
            return
        if user.asleep:
            room = max(0, self.followees - len(event.under_way))
            ahead = await self.stores.follows.followee_ids(
                event.user_id, after=event.after, limit=room + 1
            )
            begun = ahead[:room]
            under_way = await self._copy(event, begun)
            if under_way or len(begun) < len(ahead):
                after = begun[-1] if begun else event.after
                await self.log.append(
                    event.model_copy(update={"after": after, "under_way": under_way})
                )
                return
        # Its offset decides: a user who has fallen asleep again meanwhile stays asleep.
        await self.stores.users.set_asleep(event.user_id, asleep=False, offset=event.woke_offset)

    async def _copy(self, event: MaterialiseTimeline, begun: Sequence[str]) -> tuple[UnderWay, ...]:
        """Copy a page of posts of each followee under way or begun; returns the followees with more posts."""
        first, later = await asyncio.gather(
            self.backfill.first_pages(begun),
            asyncio.gather(
                *(
                    self.backfill.page_of(followee_id, before=post_id)
                    for followee_id, post_id in event.under_way
                )
            ),
        )
        under_way = [followee_id for followee_id, _ in event.under_way]
        pages = {**first, **dict(zip(under_way, later, strict=True))}
        await self.backfill.copy(pages, [event.user_id], cause="awakening")
        return tuple(
            UnderWay(followee_id, page[-1].post_id)
            for followee_id, page in sorted(pages.items())
            if not self.backfill.is_last(page)
        )


def _superseded(user: User, offset: int) -> bool:
    """Whether a later sleep has been applied, or a later awakening applied or begun."""
    return max(_or_before_all(user.asleep_offset), _or_before_all(user.woke_offset)) > offset


def _or_before_all(offset: int | None) -> int:
    return -1 if offset is None else offset
