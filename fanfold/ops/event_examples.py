"""An example of each event, for those who write a consumer. Ids and times are fixed, so that what is written is the same each time."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.events import (
    AuthorModeChanged,
    BackfillFollow,
    DeliverSlice,
    EndFollowers,
    EndFollowing,
    Event,
    MaterialiseTimeline,
    NewFollow,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
    ReviewDelivery,
    UnderWay,
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
from fanfold.core.events.model import from_ms

AT_MS = 1_795_222_923_456
"""2026-11-21T01:02:03.456Z, in each example; it is the millisecond inside `_POST_ID` too."""
_AT = from_ms(AT_MS)
_POST_ID = UUID(int=(AT_MS << 80) | (0x7000 << 64) | (0x8000 << 48) | 1)

EXAMPLES: tuple[Event, ...] = (
    PostCreated(post_id=_POST_ID, author_id="bob", content="Hello world!", created_at=_AT),
    PostEdited(post_id=_POST_ID, author_id="bob", content="Hello, world! 🌍", edited_at=_AT),
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
    UserMuted(user_id="alice", target_id="bob", muted_at=_AT),
    UserUnmuted(user_id="alice", target_id="bob", unmuted_at=_AT),
    UserBlocked(user_id="alice", target_id="bob", blocked_at=_AT),
    UserUnblocked(user_id="alice", target_id="bob", unblocked_at=_AT),
    DeliverSlice(post_id=_POST_ID, author_id="bob", generation=1, bucket=15),
    BackfillFollow(followee_id="bob", follows=(NewFollow("alice", 7),), before=_POST_ID),
    MaterialiseTimeline(
        user_id="alice", woke_offset=7, after="bob", under_way=(UnderWay("bob", _POST_ID),)
    ),
    EndFollowing(user_id="alice", after="bob"),
    EndFollowers(user_id="bob", generation=1, bucket=15, after="alice"),
    ReviewDelivery(author_id="bob", requested_at=_AT),
)
"""In the order of the catalogue."""


def example_of(event: type[Event]) -> Event:
    """The example of that event."""
    return next(example for example in EXAMPLES if type(example) is event)


def key_field(event: type[Event]) -> str | None:
    """The field that is the record's key; None where the key is put together from several, as in most commands."""
    example = example_of(event)
    fields = example.model_dump(mode="json")
    return next((name for name, value in fields.items() if value == example.key), None)
