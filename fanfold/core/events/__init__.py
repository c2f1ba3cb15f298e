"""The events of the log: one frozen model each, and their form on the wire.

Public events are what happened, commands of the internal topic what is to be done. `schemas/events/` holds the
JSON Schema of each, generated from here and tested against drift.
"""

from __future__ import annotations

from fanfold.core.events.commands import (
    BackfillFollow,
    DeliverSlice,
    EndFollowers,
    EndFollowing,
    MaterialiseTimeline,
    NewFollow,
    UnderWay,
)
from fanfold.core.events.model import (
    ACTIVITY,
    DEAD_LETTERS,
    ENGAGEMENT,
    GRAPH,
    POSTS,
    PUBLIC_TOPICS,
    SLICES,
    Event,
    Time,
    from_ms,
    to_ms,
)
from fanfold.core.events.posts import (
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
)
from fanfold.core.events.users import (
    AuthorModeChanged,
    ModeReviewRequested,
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
from fanfold.core.events.wire import (
    EVENTS,
    Encoded,
    decode,
    encode,
)

__all__ = [
    "ACTIVITY",
    "DEAD_LETTERS",
    "ENGAGEMENT",
    "EVENTS",
    "GRAPH",
    "POSTS",
    "PUBLIC_TOPICS",
    "SLICES",
    "AuthorModeChanged",
    "BackfillFollow",
    "DeliverSlice",
    "Encoded",
    "EndFollowers",
    "EndFollowing",
    "Event",
    "MaterialiseTimeline",
    "ModeReviewRequested",
    "NewFollow",
    "PostCreated",
    "PostDeleted",
    "PostEdited",
    "PostLiked",
    "PostUnliked",
    "Time",
    "UnderWay",
    "UserBlocked",
    "UserFellAsleep",
    "UserFollowed",
    "UserLeft",
    "UserMuted",
    "UserRegistered",
    "UserUnblocked",
    "UserUnfollowed",
    "UserUnmuted",
    "UserWoke",
    "decode",
    "encode",
    "from_ms",
    "to_ms",
]
