"""A record of the log with the event it holds, decoded and checked."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar, assert_never

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

E_co = TypeVar("E_co", bound=Event, covariant=True)


class RecordedEvent(NamedTuple, Generic[E_co]):
    """A record and its event."""

    record: Record
    event: E_co


def read_recorded_event(record: Record) -> RecordedEvent[Event]:
    """Decode and check a record, without asking a store. Raises `Rejected`."""
    event = record.event()
    if event.topic != record.topic:
        raise Rejected(f"{type(event).__name__} does not belong on {record.topic}")
    _check_fields(event)
    # The key decides the partition, and the partition decides the order: every argument about order needs the right key.
    if record.key != event.key.encode():
        raise Rejected("the key is not the event's")
    return RecordedEvent(record, event)


def _check_fields(event: Event) -> None:
    match event:
        case PostCreated():
            if to_ms(event.created_at) != created_at_ms(event.post_id):
                raise Rejected("created_at is not the millisecond inside post_id")
        case UserFollowed() | UserUnfollowed():
            if event.follower_id == event.followee_id:
                raise Rejected("nobody follows oneself")
        case UserMuted() | UserUnmuted() | UserBlocked() | UserUnblocked():
            if event.user_id == event.target_id:
                raise Rejected("nobody mutes or blocks oneself")
        case PostEdited() | PostDeleted() | PostLiked() | PostUnliked():
            pass
        case UserRegistered() | UserLeft() | UserFellAsleep() | UserWoke() | AuthorModeChanged():
            pass
        case _:
            _check_command(event)


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
