"""An example of each public event, for those who write a consumer. Ids and times are fixed, so that what is written is the same each time."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.events import (
    AuthorModeChanged,
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
    UserFellAsleep,
    UserFollowed,
    UserLeft,
    UserRegistered,
    UserUnfollowed,
    UserWoke,
)
from fanfold.core.events.model import from_ms

AT_MS = 1_795_222_923_456
"""2026-11-21T01:02:03.456Z, in each example; it is the millisecond inside `_POST_ID` too."""
_AT = from_ms(AT_MS)
_POST_ID = UUID(int=(AT_MS << 80) | (0x7000 << 64) | (0x8000 << 48) | 1)

EXAMPLES: tuple[Event, ...] = (
    PostCreated(post_id=_POST_ID, author_id="bob", content="Hello world!", created_at=_AT),
    PostEdited(post_id=_POST_ID, author_id="bob", content="Hello, world!", edited_at=_AT),
    PostDeleted(post_id=_POST_ID, author_id="bob", deleted_at=_AT),
    UserRegistered(user_id="bob", display_name="Bob", registered_at=_AT),
    UserLeft(user_id="bob", left_at=_AT),
    UserFollowed(follower_id="alice", followee_id="bob", followed_at=_AT),
    UserUnfollowed(follower_id="alice", followee_id="bob", unfollowed_at=_AT),
    AuthorModeChanged(
        author_id="bob", delivery="pull", follower_count=100_000, changed_at=_AT, caused_by=7
    ),
    PostLiked(post_id=_POST_ID, author_id="bob", user_id="alice", liked_at=_AT),
    PostUnliked(post_id=_POST_ID, author_id="bob", user_id="alice", unliked_at=_AT),
    UserFellAsleep(user_id="alice", fell_asleep_at=_AT),
    UserWoke(user_id="alice", woke_at=_AT),
)
