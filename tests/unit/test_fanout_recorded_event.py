from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fanfold.core.errors import Rejected, Undecodable
from fanfold.core.events import (
    GRAPH,
    AuthorModeChanged,
    BackfillFollow,
    DeliverSlice,
    Event,
    MaterialiseTimeline,
    NewFollow,
    PostCreated,
    UnderWay,
    UserRegistered,
)
from fanfold.core.ports.log import Record
from fanfold.core.text import POST_MAX_BYTES
from fanfold.ops.event_examples import AT_MS, example_of
from fanout_service.recorded_event import RecordedEvent, read_recorded_event
from tests.support.clock import A_DAY_MS, START_MS
from tests.support.fanout import (
    a_block,
    a_follow,
    a_mute,
    a_pipeline,
    a_post,
    a_record,
    an_edit,
    an_unblock,
    an_unfollow,
    an_unmute,
    at,
)

YEAR_9999_MS = 253_370_764_800_000


def read(record: Record) -> RecordedEvent[Event]:
    return read_recorded_event(record, max_skew_ms=2000)


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
    assert read(a_record(event)).event == event


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
        read(a_record(event))


def test_a_backfill_of_no_follows_is_rejected() -> None:
    record = a_record(BackfillFollow(followee_id="alice", follows=(NewFollow("bob", 3),)))
    with pytest.raises(Rejected, match="no follows"):
        read(replace(record, value=b'{"followee_id": "alice", "follows": []}'))


@pytest.mark.parametrize("key", [None, b"", b"bob", b"\xff"])
def test_a_key_that_is_not_the_events_is_rejected(key: bytes | None) -> None:
    with pytest.raises(Rejected, match="key"):
        read(replace(a_record(a_post()), key=key))


def test_an_event_on_another_topic_is_rejected() -> None:
    with pytest.raises(Rejected, match="belong"):
        read(replace(a_record(a_post()), topic=GRAPH))


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
        read(replace(a_record(a_follow("bob")), value=value))


@pytest.mark.parametrize("ce_type", [None, b"fanfold.UserVanished.v1", b"\xff"])
def test_a_type_that_this_version_does_not_know_is_undecodable(ce_type: bytes | None) -> None:
    record = a_record(a_follow("bob"))
    headers = {k: v for k, v in record.headers.items() if k != "ce_type"}
    headers |= {} if ce_type is None else {"ce_type": ce_type}
    with pytest.raises(Undecodable, match="unknown event type"):
        read(replace(record, headers=headers))


@pytest.mark.parametrize("ce_type", [b"what a user wrote", b"x" * 101, "ü".encode()])
def test_the_reason_repeats_no_header_that_is_no_name(ce_type: bytes) -> None:
    record = a_record(a_follow("bob"))
    with pytest.raises(Undecodable) as undecodable:
        read(replace(record, headers={**record.headers, "ce_type": ce_type}))
    assert str(undecodable.value) == "unknown event type"


# --- times and text ------------------------------------------------------------------------------------

SKEW_MS = 2000


@pytest.mark.parametrize(
    "event",
    [
        a_post(ms=START_MS + SKEW_MS + 1),
        a_post(ms=YEAR_9999_MS),
        a_follow("bob").model_copy(update={"followed_at": at(YEAR_9999_MS)}),
        a_mute("bob", ms=START_MS + SKEW_MS + 1),
        a_block("bob", ms=YEAR_9999_MS),
        an_edit(a_post(), "later").model_copy(update={"edited_at": at(YEAR_9999_MS)}),
        UserRegistered(user_id="bob", display_name="Bob", registered_at=at(YEAR_9999_MS)),
        an_edit(a_post(ms=YEAR_9999_MS), "of a post to come"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_that_is_dated_after_its_append_is_rejected(event: Event) -> None:
    with pytest.raises(Rejected, match="later than its append"):
        read(a_record(event))


LATER_ID = a_post(ms=YEAR_9999_MS).post_id


@pytest.mark.parametrize(
    "event",
    [
        BackfillFollow(followee_id="alice", follows=(NewFollow("bob", 3),), before=LATER_ID),
        MaterialiseTimeline(
            user_id="bob", woke_offset=3, after="b", under_way=(UnderWay("alice", LATER_ID),)
        ),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_time_inside_a_command_counts_too(event: Event) -> None:
    with pytest.raises(Rejected, match="later than its append"):
        read(a_record(event))


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_number_that_no_table_holds_is_rejected_and_no_unexpected_error(number: int) -> None:
    """Unexpected errors of our own programs stop the worker, and anyone can name a source of ours."""
    backfill = BackfillFollow(followee_id="alice", follows=(NewFollow("bob", number),))
    events: list[Event] = [
        backfill,
        BackfillFollow(followee_id="alice", follows=(NewFollow("bob", 3),), copied=number),
        MaterialiseTimeline(user_id="bob", woke_offset=number),
        example_of(AuthorModeChanged).model_copy(update={"follower_count": number}),
        example_of(AuthorModeChanged).model_copy(update={"caused_by": number}),
    ]
    for event in events:
        with pytest.raises(Rejected, match="fits into no table"):
            read(a_record(event, appended_at_ms=AT_MS))


@pytest.mark.parametrize("ms", [START_MS + SKEW_MS, START_MS, START_MS - 10 * 365 * A_DAY_MS])
def test_an_event_within_the_skew_or_from_long_ago_is_not_rejected(ms: int) -> None:
    for event in (a_post(ms=ms), a_mute("bob", ms=ms)):
        assert read(a_record(event)).event == event


def test_an_event_that_was_too_early_passes_when_it_is_replayed_later() -> None:
    post = a_post(ms=START_MS + 60_000)
    with pytest.raises(Rejected):
        read(a_record(post))
    assert read(a_record(post, appended_at_ms=START_MS + 58_000)).event == post


@pytest.mark.parametrize(
    "text", ["", " \n", "\u2800", "a\x00b", "a\x1bb", "x" * 900_000, "\u00e9" * 9000]
)
def test_text_that_no_api_accepts_is_rejected(text: str) -> None:
    for event in (a_post(content=text), an_edit(a_post(), text)):
        with pytest.raises(Rejected, match="text is not allowed"):
            read(a_record(event))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\u2028b", "a\x00", "x" * 101, "\u2800"])
def test_a_display_name_that_no_api_accepts_is_rejected(name: str) -> None:
    event = UserRegistered(user_id="bob", display_name=name, registered_at=at(START_MS))
    with pytest.raises(Rejected, match="text is not allowed"):
        read(a_record(event))


@pytest.mark.parametrize(
    ("field", "value"), [("bio", "x" * 301), ("bio", " "), ("avatar_url", "http://example.org")]
)
def test_a_profile_that_the_api_refuses_is_rejected(field: str, value: str) -> None:
    event = UserRegistered(
        user_id="bob", display_name="Bob", registered_at=at(START_MS), **{field: value}
    )
    with pytest.raises(Rejected, match="not allowed"):
        read(a_record(event))


def test_a_post_that_was_made_under_a_higher_limit_of_characters_is_not_rejected() -> None:
    post = a_post(content="x" * POST_MAX_BYTES)
    assert read(a_record(post)).event == post


async def test_a_foreign_post_of_the_year_9999_is_a_dead_letter_and_in_no_timeline() -> None:
    async with a_pipeline() as pipeline:
        ours, foreign = a_post(), a_post(ms=YEAR_9999_MS)
        nul = a_post(content="x\x00" * 1000)
        await pipeline.handle(a_follow("bob"), ours, foreign, nul)
        assert await pipeline.timeline("bob") == [ours.post_id]
        reasons = [reason for _, reason in await pipeline.dead_letters()]
        assert len(reasons) == 2
        assert not any("x" * 3 in reason or "\x00" in reason for reason in reasons)
