"""A record of the log with the event it holds, decoded and checked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar, assert_never
from uuid import UUID

from fanfold.core.avatar_url import avatar_url_error
from fanfold.core.buckets import BUCKETS_IN_GENERATION
from fanfold.core.errors import Rejected
from fanfold.core.events import (
    AuthorModeChanged,
    BackfillFollow,
    Command,
    DeliverSlice,
    EndFollowers,
    EndFollowing,
    Event,
    MaterialiseTimeline,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
    ReviewDelivery,
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
    to_ms,
)
from fanfold.core.ids import created_at_ms
from fanfold.core.ports.log import Record
from fanfold.core.text import POST_MAX_BYTES, bio_error, display_name_error, post_text_error

_MOST = 2**63 - 1
"""The largest number of a table."""

E_co = TypeVar("E_co", bound=Event, covariant=True)


class RecordedEvent(NamedTuple, Generic[E_co]):
    """A record and its event."""

    record: Record
    event: E_co


def read_recorded_event(record: Record, *, max_skew_ms: int) -> RecordedEvent[Event]:
    """Decode and check a record, without asking a store. Raises `Rejected`.

    An event that is dated more than `max_skew_ms` after its append is rejected: its post would lead every feed until that day. An
    old date is not: imports and replays append late.
    """
    event = record.event()
    if event.topic != record.topic:
        raise Rejected(f"{type(event).__name__} does not belong on {record.topic}")
    _check_fields(event)
    _check_values(vars(event).values(), latest_ms=record.appended_at_ms + max_skew_ms)
    # The key decides the partition, and the partition decides the order: every argument about order needs the right key.
    if record.key != event.key.encode():
        raise Rejected("the key is not the event's")
    return RecordedEvent(record, event)


def _check_fields(event: Event) -> None:
    match event:
        case PostLiked() | PostUnliked():
            pass  # first, because there are more of them than of all others
        case PostCreated():
            if to_ms(event.created_at) != created_at_ms(event.post_id):
                raise Rejected("created_at is not the millisecond inside post_id")
            _check_text(post_text_error(event.content, max_chars=POST_MAX_BYTES))
        case UserFollowed() | UserUnfollowed():
            if event.follower_id == event.followee_id:
                raise Rejected("nobody follows oneself")
        case UserMuted() | UserUnmuted() | UserBlocked() | UserUnblocked():
            if event.user_id == event.target_id:
                raise Rejected("nobody mutes or blocks oneself")
        case PostEdited():
            _check_text(post_text_error(event.content, max_chars=POST_MAX_BYTES))
        case UserRegistered():
            _check_text(display_name_error(event.display_name))
            _check_text(bio_error(event.bio or ""))
            _check_text(avatar_url_error(event.avatar_url or ""))
        case PostDeleted() | UserLeft() | UserFellAsleep() | UserWoke() | AuthorModeChanged():
            pass
        case _:
            _check_command(event)


def _check_text(error: str | None) -> None:
    # The bytes are bounded, but not the characters: their number is a setting, which may be lower than when a post was made.
    if error is not None:
        raise Rejected(f"its text is not allowed: {error}")


def _check_values(values: Iterable[object], *, latest_ms: int) -> None:
    """Check times, also those inside ids of posts, and numbers; those inside lists too."""
    for value in values:
        if isinstance(value, datetime):
            late = to_ms(value) > latest_ms
        elif isinstance(value, UUID):
            late = created_at_ms(value) > latest_ms
        else:
            late = False
            if isinstance(value, tuple):
                _check_values(value, latest_ms=latest_ms)
            elif isinstance(value, int) and not 0 <= value <= _MOST:
                raise Rejected("a number in it fits into no table")
        if late:
            raise Rejected("a time in it is later than its append to the log")


def _check_command(command: Command) -> None:
    match command:
        case BackfillFollow():
            if not command.follows:
                raise Rejected("a backfill of no follows")
        case MaterialiseTimeline():
            if any(step.followee_id > (command.after or "") for step in command.under_way):
                raise Rejected("a followee is under way that was not reached yet")
        case DeliverSlice() | EndFollowers():
            _check_bucket(command.generation, command.bucket)
        case EndFollowing() | ReviewDelivery():
            pass
        case _:
            assert_never(command)


def _check_bucket(generation: int, bucket: int) -> None:
    if generation >= len(BUCKETS_IN_GENERATION) or not bucket < BUCKETS_IN_GENERATION[generation]:
        raise Rejected("there is no such bucket")
