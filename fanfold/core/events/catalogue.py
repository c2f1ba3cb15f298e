"""Every event, in closed unions: a `match` over one of them that forgets an event is a type error."""

from __future__ import annotations

from typing import get_args

from fanfold.core.events.commands import (
    BackfillFollow,
    DeliverSlice,
    EndFollowers,
    EndFollowing,
    MaterialiseTimeline,
    ReviewDelivery,
)
from fanfold.core.events.posts import PostCreated, PostDeleted, PostEdited, PostLiked, PostUnliked
from fanfold.core.events.users import (
    AuthorModeChanged,
    UserBlocked,
    UserFellAsleep,
    UserFollowed,
    UserLeft,
    UserMuted,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    UserWoke,
)

# One union a topic.
PostEvent = PostCreated | PostEdited | PostDeleted
GraphEvent = UserRegistered | UserLeft | UserFollowed | UserUnfollowed | AuthorModeChanged
TieEvent = UserMuted | UserUnmuted | UserBlocked | UserUnblocked
LikeEvent = PostLiked | PostUnliked
ActivityEvent = UserFellAsleep | UserWoke
Command = (
    DeliverSlice
    | BackfillFollow
    | MaterialiseTimeline
    | EndFollowing
    | EndFollowers
    | ReviewDelivery
)

PublicEvent = PostEvent | GraphEvent | LikeEvent | ActivityEvent
PrivateEvent = TieEvent
Event = PublicEvent | PrivateEvent | Command

EVENTS: tuple[type[Event], ...] = get_args(Event)
