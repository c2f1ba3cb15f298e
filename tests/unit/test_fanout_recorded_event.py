from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fanfold.core.errors import Rejected, Undecodable
from fanfold.core.events import (
    GRAPH,
    BackfillFollow,
    DeliverSlice,
    Event,
    NewFollow,
    PostCreated,
)
from fanout_service.recorded_event import read_recorded_event
from tests.support.clock import START_MS
from tests.support.fanout import (
    a_block,
    a_follow,
    a_mute,
    a_post,
    a_record,
    an_unblock,
    an_unfollow,
    an_unmute,
    at,
)


def a_slice(**changes: Any) -> DeliverSlice:
    post = a_post()
    fields = {"post_id": post.post_id, "author_id": "alice", "generation": 0, "bucket": 0}
    return DeliverSlice(**{**fields, **changes})


@pytest.mark.parametrize(
    "event",
    [
        a_post(),
        a_follow("bob"),
        an_unfollow("bob"),
        a_mute("bob"),
        an_unmute("bob"),
        a_block("bob"),
        an_unblock("bob"),
        a_slice(generation=1, bucket=15),
        BackfillFollow(followee_id="alice", follows=(NewFollow("bob", 3),)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_good_record_is_its_event(event: Event) -> None:
    assert read_recorded_event(a_record(event)).event == event


def a_late_post() -> PostCreated:
    return a_post().model_copy(update={"created_at": at(START_MS + 1)})


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (a_follow("bob", "bob"), "oneself"),
        (an_unfollow("bob", "bob"), "oneself"),
        (a_mute("bob", "bob"), "oneself"),
        (an_unmute("bob", "bob"), "oneself"),
        (a_block("bob", "bob"), "oneself"),
        (an_unblock("bob", "bob"), "oneself"),
        (a_late_post(), "created_at"),
        (a_slice(generation=5), "no such bucket"),
        (a_slice(generation=1, bucket=16), "no such bucket"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_event_that_contradicts_itself_is_rejected(event: Event, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        read_recorded_event(a_record(event))


def test_a_backfill_of_no_follows_is_rejected() -> None:
    record = a_record(BackfillFollow(followee_id="alice", follows=(NewFollow("bob", 3),)))
    with pytest.raises(Rejected, match="no follows"):
        read_recorded_event(replace(record, value=b'{"followee_id": "alice", "follows": []}'))


@pytest.mark.parametrize("key", [None, b"", b"bob", b"\xff"])
def test_a_key_that_is_not_the_events_is_rejected(key: bytes | None) -> None:
    with pytest.raises(Rejected, match="key"):
        read_recorded_event(replace(a_record(a_post()), key=key))


def test_an_event_on_another_topic_is_rejected() -> None:
    with pytest.raises(Rejected, match="belong"):
        read_recorded_event(replace(a_record(a_post()), topic=GRAPH))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"follower_id": 7, "followee_id": "alice", "followed_at": "2026-01-01T00:00:00Z"}',
        b'{"follower_id": "bob", "followee_id": "..", "followed_at": "2026-01-01T00:00:00Z"}',
        b'{"follower_id": "bob", "followee_id": "alice", "followed_at": "yesterday"}',
        b"[" * 100_000,
        b'{"follower_id": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_value_that_is_no_event_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        read_recorded_event(replace(a_record(a_follow("bob")), value=value))


@pytest.mark.parametrize("ce_type", [None, b"fanfold.UserVanished.v1", b"\xff"])
def test_a_type_that_this_version_does_not_know_is_undecodable(ce_type: bytes | None) -> None:
    record = a_record(a_follow("bob"))
    headers = {k: v for k, v in record.headers.items() if k != "ce_type"}
    headers |= {} if ce_type is None else {"ce_type": ce_type}
    with pytest.raises(Undecodable, match="unknown event type"):
        read_recorded_event(replace(record, headers=headers))
