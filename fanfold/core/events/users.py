"""Users: names, follows, mutes, blocks, sleep, leaving, and the delivery of their posts."""

from __future__ import annotations

from typing import Literal
from uuid import UUID, uuid5

from pydantic import Field

from fanfold.core.delivery import Delivery
from fanfold.core.events.changes import (
    AwakeningBegun,
    DeliveryChanged,
    NameChanged,
    UserGone,
    ViewerCell,
    ViewerGraphChanged,
)
from fanfold.core.events.model import ACTIVITY, GRAPH, TIES, EventModel, Time
from fanfold.core.ids import UserId

_CROSSINGS = UUID("5f2c1d0a-6f6b-5d5e-9a3e-2b0c6f1e7d44")
"""The namespace of the crossings' ids (RFC 9562, version 5)."""


class _UsersEvent(EventModel):
    topic = GRAPH
    user_id: UserId

    @property
    def key(self) -> str:
        return self.user_id


class UserRegistered(_UsersEvent):
    """A user registered, or changed the profile.

    `bio` and `avatar_url`: null leaves the last one as it was, and an empty text removes it.
    """

    display_name: str
    registered_at: Time
    bio: str | None = None
    avatar_url: str | None = None

    def changes(self) -> tuple[NameChanged]:
        return (NameChanged(self.user_id),)


class UserLeft(_UsersEvent):
    """A user left, for good: erase what you hold about them. A `UserUnfollowed` for each of their follows comes later."""

    left_at: Time

    def changes(self) -> tuple[UserGone]:
        return (UserGone(self.user_id),)


class _FollowEvent(EventModel):
    topic = GRAPH
    follower_id: UserId
    followee_id: UserId

    @property
    def key(self) -> str:
        return self.followee_id

    def _follow(self, *, active: bool) -> tuple[ViewerGraphChanged]:
        cell = ViewerCell("follow", self.followee_id)
        return (ViewerGraphChanged(self.follower_id, cell, active),)


class UserFollowed(_FollowEvent):
    """`follower_id` follows `followee_id` from now on. May repeat a follow that lasts."""

    followed_at: Time

    def changes(self) -> tuple[ViewerGraphChanged]:
        return self._follow(active=True)


class UserUnfollowed(_FollowEvent):
    """`follower_id` no longer follows `followee_id`. There may have been no follow."""

    unfollowed_at: Time

    def changes(self) -> tuple[ViewerGraphChanged]:
        return self._follow(active=False)


class _TieEvent(_UsersEvent):
    topic = TIES
    target_id: UserId

    def _mute(self, *, active: bool) -> tuple[ViewerGraphChanged]:
        return (ViewerGraphChanged(self.user_id, ViewerCell("mute", self.target_id), active),)

    def _block(self, *, active: bool) -> tuple[ViewerGraphChanged, ViewerGraphChanged]:
        own, suffered = ViewerCell("block", self.target_id), ViewerCell("blocked_by", self.user_id)
        return (
            ViewerGraphChanged(self.user_id, own, active),
            ViewerGraphChanged(self.target_id, suffered, active),
        )


class UserMuted(_TieEvent):
    """`user_id` no longer sees posts of `target_id`, who is not notified."""

    muted_at: Time

    def changes(self) -> tuple[ViewerGraphChanged]:
        return self._mute(active=True)


class UserUnmuted(_TieEvent):
    """`user_id` sees posts of `target_id` again."""

    unmuted_at: Time

    def changes(self) -> tuple[ViewerGraphChanged]:
        return self._mute(active=False)


class UserBlocked(_TieEvent):
    """From now on neither user sees the other's posts, or can follow the other or like their posts.

    It is appended after a `UserUnfollowed` in each direction.
    """

    blocked_at: Time

    def changes(self) -> tuple[ViewerGraphChanged, ViewerGraphChanged]:
        return self._block(active=True)


class UserUnblocked(_TieEvent):
    """`user_id` ends their own block of `target_id`. No follow is restored."""

    unblocked_at: Time

    def changes(self) -> tuple[ViewerGraphChanged, ViewerGraphChanged]:
        return self._block(active=False)


class AuthorModeChanged(EventModel):
    """An author crossed the threshold: their posts are delivered by `delivery` from now on.

    `caused_by` is the offset, in this partition of the topic, of the last event that the decision knew of. It names the
    crossing: a worker that died after appending this appends it again with the same `ce_id`. `cause` says what decided:
    the follower count, which an event changed, or a review, which an operator asked for after changing the threshold.
    """

    topic = GRAPH
    author_id: UserId
    delivery: Delivery
    follower_count: int = Field(ge=0)
    changed_at: Time
    caused_by: int = Field(ge=0)
    cause: Literal["count", "review"] = "count"

    def changes(self) -> tuple[DeliveryChanged]:
        return (DeliveryChanged(self.author_id, self.delivery),)

    @property
    def key(self) -> str:
        return self.author_id

    @property
    def event_id(self) -> UUID:
        return uuid5(_CROSSINGS, f"{self.author_id}/{self.caused_by}/{self.delivery}")


class _ReadersEvent(EventModel):
    topic = ACTIVITY
    user_id: UserId

    @property
    def key(self) -> str:
        return self.user_id


class UserFellAsleep(_ReadersEvent):
    """A user has read no feed for `FANFOLD_ACTIVE_DAYS`: they receive no deliveries until they read again."""

    fell_asleep_at: Time

    def changes(self) -> tuple[ViewerGraphChanged]:
        return (ViewerGraphChanged(self.user_id, ViewerCell("asleep"), active=True),)


class UserWoke(_ReadersEvent):
    """A sleeping user has read a feed: their timeline is filled again."""

    woke_at: Time

    def changes(self) -> tuple[AwakeningBegun]:
        return (AwakeningBegun(self.user_id),)
