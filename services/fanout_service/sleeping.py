"""Users who read nothing: no post is delivered to them, and once they are back their timeline is filled again.

While a user sleeps the reader pulls every followee, so the timeline may lack posts. Why it lacks none when it is
vouched for again: a fan-out writes its post's pointer first and reads the marks second; an awakening clears the marks
first and reads the posts second. So of a post and an awakening that race, either the delivery finds no mark or the copy
finds the post. All rows of follows take part, active or not: one that is followed again at that moment would be
skipped by a delivery for its old mark, and copied by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fanfold.core.events import MaterialiseTimeline, UnderWay, UserFellAsleep, UserWoke
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog
from fanout_service.backfill import Backfill
from fanout_service.concurrently import concurrently
from fanout_service.entries import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeping:
    """The projection of the activity topic, and the steps that follow from an awakening.

    `followees` is how many are copied from in a step, `marked` how many are marked at a time.
    """

    stores: Stores
    log: EventLog
    backfill: Backfill
    followees: int = 20
    marked: int = 100

    async def project(self, entries: Sequence[Entry]) -> None:
        """Project a run of events of one user."""
        for record, event in entries:
            match event:
                case UserFellAsleep():
                    await self._fall_asleep(event.user_id, offset=record.offset)
                case UserWoke():
                    await self._wake(event.user_id, offset=record.offset)

    async def _fall_asleep(self, user_id: str, *, offset: int) -> None:
        if _superseded(await self.stores.users.get(user_id), offset):
            return
        # The state first: from the first mark on, nobody may trust the timeline.
        await self.stores.users.set_asleep(user_id, asleep=True, offset=offset)
        await self._mark(user_id, asleep=True, offset=offset)

    async def _wake(self, user_id: str, *, offset: int) -> None:
        user = await self.stores.users.get(user_id)
        if _superseded(user, offset):
            return
        if not user.asleep:
            await self.stores.users.set_asleep(user_id, asleep=False, offset=offset)
            return
        # Before the follows are read, and so are the marks to clear: see `_mark`.
        await self.stores.users.begin_waking(user_id, offset=offset)
        await self._mark(user_id, asleep=False, offset=offset)
        # The marks before the posts: see the top.
        await self.log.append(MaterialiseTimeline(user_id=user_id, woke_offset=offset))

    async def _mark(self, user_id: str, *, asleep: bool, offset: int) -> None:
        """Mark the edges to all followees."""
        followee_ids = list(await self.stores.follows.following(user_id))
        for start in range(0, len(followee_ids), self.marked):
            edges = await self._edges(user_id, followee_ids[start : start + self.marked])
            if asleep and _superseded(await self.stores.users.get(user_id), offset):
                # Another worker has taken this one's place and woken the user. What it clears are the marks of the
                # follows that it found, and ours may be of later ones: those nobody would ever clear.
                return
            await self.stores.follows.mark_asleep(user_id, edges, asleep=asleep, offset=offset)

    async def _edges(self, user_id: str, followee_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        """Where the edges to those followees are, as (followee id, generation) pairs.

        Found, not guessed: a followee's first generation is one partition, and a row there for everyone who sleeps
        would have no bound. Edges are never removed, so whoever clears marks later finds all that were marked.
        """
        followees = await self.stores.users.get_many(followee_ids)
        newest = {each: followees[each].generation for each in followee_ids}
        edges: list[tuple[str, int]] = []
        # One generation after the other, so that no more is asked at once than `marked`.
        for generation in range(max(newest.values()) + 1):
            asked = [each for each in followee_ids if newest[each] >= generation]
            found = await asyncio.gather(
                *(self.stores.follows.follower_edges(each, generation, [user_id]) for each in asked)
            )
            edges += [(each, generation) for each, held in zip(asked, found, strict=True) if held]
        return edges

    async def materialise(self, event: MaterialiseTimeline) -> None:
        """One step of an awakening. Repeated, it copies the same again and may queue the rest twice."""
        user = await self.stores.users.get(event.user_id)
        if _or_before_all(user.asleep_offset) > event.woke_offset:
            return  # asleep again, or woken once more
        if user.asleep:
            follows = await self.stores.follows.following(event.user_id)
            ahead = [each for each in follows if event.after is None or each > event.after]
            begun = ahead[: max(0, self.followees - len(event.under_way))]
            under_way = await self._copy(event, begun)
            if under_way or len(begun) < len(ahead):
                after = begun[-1] if begun else event.after
                await self.log.append(
                    event.model_copy(update={"after": after, "under_way": under_way})
                )
                return
        # Its offset decides: if the user has fallen asleep again meanwhile, that stays.
        await self.stores.users.set_asleep(event.user_id, asleep=False, offset=event.woke_offset)

    async def _copy(self, event: MaterialiseTimeline, begun: Sequence[str]) -> tuple[UnderWay, ...]:
        """Copy a page of each followee's posts, those under way and those begun; returns who has more."""
        more: dict[str, UUID] = {}

        async def copy(followee_id: str, before: UUID | None) -> None:
            page = await self.backfill.page_of(followee_id, before=before)
            await self.backfill.copy(followee_id, page, [event.user_id], cause="awakening")
            if not self.backfill.is_last(page):
                more[followee_id] = page[-1].post_id

        places = {**dict(event.under_way), **dict.fromkeys(begun)}
        await concurrently(copy(*place) for place in places.items())
        return tuple(UnderWay(*each) for each in sorted(more.items()))


def _superseded(user: User, offset: int) -> bool:
    """Whether a later sleep or awakening has been applied, or begun."""
    return max(_or_before_all(user.asleep_offset), _or_before_all(user.woke_offset)) > offset


def _or_before_all(offset: int | None) -> int:
    return -1 if offset is None else offset
