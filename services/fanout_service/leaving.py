"""Users who leave: they are hidden at once, and then their follows end both ways, a page at a time.

The end of a follow is an ordinary unfollow in the log, so counts, lists and caches learn of it as of any other. A follow may
race with the leave, or its own partition may be late to project it. The worker of that follow then ends it: this module
writes the row that says `left` first and reads the edges second; that worker writes the edge first and reads the row second. So one of
the two sees the other.

All unfollows of a celebrity's followers lie in one partition of the log, beside the follows of other users. So they are appended at a
pace, by one chain of steps through all buckets: nobody waits for them, because the user is hidden already.
"""

from __future__ import annotations

from collections.abc import Sequence
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

EMPTY_BUCKETS = 100
"""A step passes over at most as many. A celebrity has up to 70,000 buckets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The projection of `UserLeft`, and the steps that follow from it.

    `page` is the number of followees in a step, which has at most some thousands before it, and `paced_page` that of followers. A pause
    of `pause_s` follows each of the latter: at most a thousand followers a second. It is short, because slices of the same batch
    wait for it.
    """

    stores: Stores
    log: EventLog
    clock: Clock
    page: int = 500
    paced_page: int = 50
    pause_s: float = 0.05

    async def project(self, group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        """Project graph events of one user, after `Follows` has written their edges."""
        follows = [event for _, event in group if isinstance(event, UserFollowed)]
        await self._end_late(follows, at_ms=group[-1].record.appended_at_ms)
        for record, event in group:
            if isinstance(event, UserLeft):
                await self._leave(event.user_id, offset=record.offset)

    async def end_following(self, event: EndFollowing, *, at_ms: int) -> None:
        """One step, which the log took at that time. Repeated, it ends the rest of the page, or the same again, which changes nothing."""
        follows = await self.stores.follows.following(event.user_id)
        rest = (follow for follow in follows.values() if follow.followee_id > (event.after or ""))
        page = list(islice((follow.followee_id for follow in rest if follow.active), self.page))
        pairs = [(event.user_id, followee_id) for followee_id in page]
        await end_follows(pairs, log=self.log, at_ms=at_ms)
        if len(page) == self.page:
            await self.log.append(event.model_copy(update={"after": page[-1]}))

    async def end_followers(self, event: EndFollowers, *, at_ms: int) -> None:
        """One step, likewise: a page of one bucket. It appends the step after it, and passes empty buckets over."""
        user = await self.stores.users.get(event.user_id)
        first = FollowerBucket(event.generation, event.bucket)
        buckets = islice(buckets_up_to(user.generation, first=first), EMPTY_BUCKETS + 1)
        after = event.after
        for read, bucket in enumerate(buckets):
            page = await self.stores.follows.followers(
                event.user_id, bucket, after=after, limit=self.paced_page
            )
            after = None
            if page or read == EMPTY_BUCKETS:
                pairs = [(edge.follower_id, event.user_id) for edge in page if edge.active]
                await end_follows(pairs, log=self.log, at_ms=at_ms)
                await self.clock.sleep(self.pause_s)
                last = page[-1].follower_id if page else None
                await self.log.append(
                    EndFollowers(user_id=event.user_id, **bucket._asdict(), after=last)
                )
                return

    async def _leave(self, user_id: str, *, offset: int) -> None:
        # First of all: from now on readers show nothing of this user, and late follows are ended.
        await self.stores.users.leave(user_id, offset=offset)
        await self.log.append(EndFollowing(user_id=user_id))
        await self.log.append(EndFollowers(user_id=user_id, generation=0, bucket=0))

    async def _end_late(self, follows: Sequence[UserFollowed], *, at_ms: int) -> None:
        if not follows:
            return
        left = await self.stores.users.left(
            {follows[0].followee_id, *(follow.follower_id for follow in follows)}
        )
        pairs = ((follow.follower_id, follow.followee_id) for follow in follows)
        late = dict.fromkeys(pair for pair in pairs if not left.isdisjoint(pair))
        await end_follows(late, log=self.log, at_ms=at_ms)
