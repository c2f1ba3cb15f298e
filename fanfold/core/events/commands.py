"""Commands: pieces of work that any worker may take, each of bounded size."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field

from fanfold.core.events.model import COMMANDS, EventModel, Time
from fanfold.core.ids import PostId, UserId


class _Command(EventModel):
    topic = COMMANDS

    def changes(self) -> tuple[()]:
        # Rows of timelines, and marks that only the worker reads: nothing that an event decides.
        return ()


class DeliverSlice(_Command):
    """Push one post into the timelines of one bucket of followers."""

    post_id: PostId
    author_id: UserId
    generation: int = Field(ge=0)
    bucket: int = Field(ge=0)

    @property
    def key(self) -> str:
        return f"{self.author_id}:{self.generation}.{self.bucket}"


class NewFollow(NamedTuple):
    """A follow to backfill: the follower, and the offset of the event that made the follow active, which names it."""

    follower_id: UserId
    follow_offset: int


class BackfillFollow(_Command):
    """Copy one page of the followee's pushed posts into the timelines of new followers, newest first.

    Each step appends the next with `before` set to the last post of its page and `copied` to the posts copied so far. The last
    step marks the follows materialised: it reaches the end of the posts or has copied `FANFOLD_FEED_DEPTH` of them. A step
    leaves out follows that have ended.
    """

    followee_id: UserId
    follows: tuple[NewFollow, ...]
    before: PostId | None = None
    copied: int = Field(0, ge=0)

    @property
    def key(self) -> str:
        return f"{self.followee_id}:{self.follows[0].follower_id}"


class UnderWay(NamedTuple):
    """A followee whose newest posts are copied; the posts before `before` are not."""

    followee_id: UserId
    before: PostId


class MaterialiseTimeline(_Command):
    """Copy a page of pushed posts of some followees of a woken user into the timeline.

    These are the followees under way, and the next ones after `after`. Each step appends the next; the last one marks the user as
    awake. `woke_offset` is the offset of the `UserWoke` that began it, so that the end of an old awakening can't undo a
    later sleep.
    """

    user_id: UserId
    woke_offset: int = Field(ge=0)
    after: UserId | None = None
    under_way: tuple[UnderWay, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.user_id}:materialise"


class ReviewDelivery(_Command):
    """Decide push or pull again for an author, because an operator changed the threshold."""

    author_id: UserId
    requested_at: Time

    @property
    def key(self) -> str:
        return self.author_id


class EndFollowing(_Command):
    """Append an unfollow for one page of the followees of a user who left."""

    user_id: UserId
    after: UserId | None = None

    @property
    def key(self) -> str:
        return f"{self.user_id}:end-following"


class EndFollowers(_Command):
    """Append an unfollow for one page of the followers of a user who left, from that bucket on. Each step appends the next, after a pause."""

    user_id: UserId
    generation: int = Field(ge=0)
    bucket: int = Field(ge=0)
    after: UserId | None = None

    @property
    def key(self) -> str:
        return f"{self.user_id}:{self.generation}.{self.bucket}"
