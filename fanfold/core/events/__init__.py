"""The events of the log: one frozen model each, and their form on the wire.

Events say what happened, in the past tense; commands say what is to be done. `schemas/events/` holds the
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
    ReviewDelivery,
    UnderWay,
)
from fanfold.core.events.model import (
    ACTIVITY,
    COMMANDS,
    DEAD_LETTERS,
    ENGAGEMENT,
    GRAPH,
    POSTS,
    PROJECTED_TOPICS,
    PUBLIC_TOPICS,
    TIES,
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
    "COMMANDS",
    "CONSUMED_TOPICS",
    "DEAD_LETTERS",
    "ENGAGEMENT",
    "EVENTS",
    "GRAPH",
    "POSTS",
    "PROJECTED_TOPICS",
    "PUBLIC_TOPICS",
    "TIES",
    "AuthorModeChanged",
    "BackfillFollow",
    "DeliverSlice",
    "Encoded",
    "EndFollowers",
    "EndFollowing",
    "Event",
    "MaterialiseTimeline",
    "NewFollow",
    "PostCreated",
    "PostDeleted",
    "PostEdited",
    "PostLiked",
    "PostUnliked",
    "ReviewDelivery",
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
