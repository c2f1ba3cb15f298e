"""Users who leave: they are hidden at once, and then their follows end both ways, a page at a time.

The end of a follow is an ordinary unfollow in the log, so counts, lists and caches learn of it as of any other. A follow may
race with the leave, or its own partition may be late to project it. The worker of that follow then ends it: this module
writes the row that says `left` first and reads the edges second; that worker writes the edge first and reads the row second. So one of
the two sees the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from fanfold.core.buckets import FollowerBucket, buckets_up_to
from fanfold.core.clock import Clock
from fanfold.core.events import (
    EndFollowers,
    EndFollowing,
    GraphEvent,
    UserFollowed,
    UserLeft,
)
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanout_service.end_follows import end_follows
from fanout_service.recorded_event import RecordedEvent

COMMANDS_AT_ONCE = 1000
"""A celebrity has up to 70,000 buckets: their commands are appended in steps, not all held in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The projection of `UserLeft`, and the steps that follow from it. `page` is the number of edges in a step."""

    stores: Stores
    log: EventLog
    clock: Clock
    page: int = 500

    async def project(self, group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        """Project graph events of one user, after `Follows` has written their edges."""
        await self._end_late([event for _, event in group if isinstance(event, UserFollowed)])
        for record, event in group:
            if isinstance(event, UserLeft):
                await self._leave(event.user_id, offset=record.offset)

    async def end_following(self, event: EndFollowing) -> None:
        """One step. Repeated, it ends the rest of the page, or the same again, which changes nothing."""
        follows = await self.stores.follows.following(event.user_id)
        rest = (follow for follow in follows.values() if follow.followee_id > (event.after or ""))
        page = list(islice((follow.followee_id for follow in rest if follow.active), self.page))
        await self._end((event.user_id, followee_id) for followee_id in page)
        if len(page) == self.page:
            await self.log.append(event.model_copy(update={"after": page[-1]}))

    async def end_followers(self, event: EndFollowers) -> None:
        """One step, likewise."""
        bucket = FollowerBucket(event.generation, event.bucket)
        page = await self.stores.follows.followers(
            event.user_id, bucket, after=event.after, limit=self.page
        )
        await self._end((edge.follower_id, event.user_id) for edge in page if edge.active)
        if len(page) == self.page:
            await self.log.append(event.model_copy(update={"after": page[-1].follower_id}))

    async def _leave(self, user_id: str, *, offset: int) -> None:
        # First of all: from now on readers show nothing of this user, and late follows are ended.
        await self.stores.users.leave(user_id, offset=offset)
        await self.log.append(EndFollowing(user_id=user_id))
        user = await self.stores.users.get(user_id)
        buckets = buckets_up_to(user.generation)
        while commands := [
            EndFollowers(user_id=user_id, generation=generation, bucket=bucket)
            for generation, bucket in islice(buckets, COMMANDS_AT_ONCE)
        ]:
            await self.log.append_many(commands)

    async def _end_late(self, follows: Sequence[UserFollowed]) -> None:
        if not follows:
            return
        users = await self.stores.users.get_many(
            {follows[0].followee_id, *(follow.follower_id for follow in follows)}
        )
        left = {user_id for user_id, user in users.items() if user.left}
        pairs = ((follow.follower_id, follow.followee_id) for follow in follows)
        await self._end(dict.fromkeys(pair for pair in pairs if not left.isdisjoint(pair)))

    async def _end(self, follows: Iterable[tuple[str, str]]) -> None:
        await end_follows(follows, log=self.log, clock=self.clock)
