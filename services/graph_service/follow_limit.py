"""At most so many followed users, without counting them at every follow."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TTLCache

from fanfold.core.clock import Clock
from fanfold.core.ports import Follows
from fanfold.http.problems import Conflict

COUNT_TTL_S = 10.0
COUNTED_USERS = 10_000
MARGIN = 0.1
"""The share of the maximum below it within which follows are counted at every follow."""


class TooManyFollowed(Conflict):
    kind = "follows-too-many"
    title = "Too many followed users"


@dataclass(slots=True)
class _Count:
    follows: int


class FollowLimit:
    """Refuses follows beyond `max_following`.

    A user's follows are counted in the tables and the count is kept for ten seconds; each follow by this process raises it. An
    unfollow doesn't lower it, since it may have ended nothing: the kept count is rather too high, and then the follows are
    counted again. Within a tenth of the maximum no kept count is used, so the limit is as exact as the tables are. What other
    processes do is missed for up to ten seconds: a user passes the limit only by making more than a tenth of it in follows
    through them within that time.
    """

    def __init__(self, follows: Follows, *, clock: Clock, max_following: int) -> None:
        self._follows = follows
        self._max = max_following
        self._kept_below = max_following - max(1, round(max_following * MARGIN))
        self._counts: TTLCache[str, _Count] = TTLCache(
            COUNTED_USERS, ttl=COUNT_TTL_S, timer=clock.monotonic_s
        )

    async def others_followed(self, follower_id: str, followee_id: str) -> int:
        """How many users but the followee the follower follows: from the tables near the maximum, else the kept count."""
        count = self._counts.get(follower_id)
        if count is not None and count.follows < self._kept_below:
            return count.follows
        follows = (await self._follows.following(follower_id)).values()
        self._counts[follower_id] = _Count(sum(follow.active for follow in follows))
        return sum(follow.active and follow.followee_id != followee_id for follow in follows)

    def refuse_too_many(self, others: int) -> None:
        """Answer 409 to a follow of one more than the maximum."""
        if others >= self._max:
            raise TooManyFollowed(f"Unfollow someone first: {self._max} is the most.")

    def followed(self, follower_id: str) -> None:
        """Note a follow that was appended."""
        if (count := self._counts.get(follower_id)) is not None:
            count.follows += 1
