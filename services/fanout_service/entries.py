"""What the worker takes from the log: a record with its event, checked."""

from __future__ import annotations

from typing import NamedTuple

from fanfold.core.buckets import BUCKETS_IN_GENERATION
from fanfold.core.errors import Rejected
from fanfold.core.events import (
    BackfillFollow,
    DeliverSlice,
    EndFollowers,
    Event,
    MaterialiseTimeline,
    PostCreated,
    UserBlocked,
    UserFollowed,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    to_ms,
)
from fanfold.core.ids import created_at_ms
from fanfold.core.ports.log import Record


class Entry(NamedTuple):
    """A record and the event it holds."""

    record: Record
    event: Event


def read_entry(record: Record) -> Entry:
    """Decode and check a record, without asking any store. Raises `Rejected`."""
    event = record.event()
    if event.topic != record.topic:
        raise Rejected(f"{type(event).__name__} does not belong on {record.topic}")
    _check_fields(event)
    # The key decides the partition, and the partition the order: a wrong one would break every argument about it.
    if record.key != event.key.encode():
        raise Rejected(f"the key {record.key!r} is not the event's, {event.key!r}")
    return Entry(record, event)


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
        case BackfillFollow() if not event.follows:
            raise Rejected("a backfill of no follows")
        case MaterialiseTimeline() if _is_ahead(event):
            raise Rejected("a followee is under way that was not reached yet")
        case DeliverSlice() | EndFollowers():
            if (
                event.generation >= len(BUCKETS_IN_GENERATION)
                or event.bucket >= BUCKETS_IN_GENERATION[event.generation]
            ):
                raise Rejected("there is no such bucket")
        case _:
            pass


def _is_ahead(step: MaterialiseTimeline) -> bool:
    return any(each.followee_id > (step.after or "") for each in step.under_way)
