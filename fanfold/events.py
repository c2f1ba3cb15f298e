"""The events of the log: one frozen model each, and their form on the wire.

Wire form: CloudEvents 1.0, Kafka binary mode. The record's value is the model as JSON, its key the partition
key, and the headers carry `ce_type`, `ce_id`, `ce_source`, `ce_time`, `ce_specversion` and `content-type`.
Readers ignore unknown fields, so adding an optional one is a compatible change; `schemas/events/` holds the
JSON Schema of each, generated from here and tested against drift.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Annotated, ClassVar, NamedTuple
from uuid import UUID

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from uuid_utils import compat

from fanfold.clock import rfc3339
from fanfold.errors import Undecodable
from fanfold.ids import PostId, UserId

POSTS = "posts.v1"
GRAPH = "graph.v1"
SLICES = "fanout.slices.v1"
DEAD_LETTERS = "dead-letters.v1"

PUBLIC_TOPICS = (POSTS, GRAPH)

Time = Annotated[
    AwareDatetime,
    PlainSerializer(lambda at: rfc3339(to_ms(at)), return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds."}
    ),
]


def to_ms(at: datetime) -> int:
    """Milliseconds since the Unix epoch, exactly (a float of seconds would round some of them)."""
    return int(at.timestamp() * 1000 + 0.5)


def from_ms(ms: int) -> datetime:
    """The time of an event that happened at that millisecond since the Unix epoch; `to_ms` undoes it."""
    return datetime.fromtimestamp(ms / 1000, UTC)


class Event(BaseModel):
    """What happened (past tense) or, on an internal topic, what is to be done (imperative)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]
    """The logical topic; `Settings.topic_prefix` makes it physical."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The partition key: events of one key are read in the order they were appended."""

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents `type`."""
        return f"fanfold.{cls.__name__}.v1"


class PostCreated(Event):
    """An author published a post. `created_at` is the millisecond inside `post_id`."""

    topic = POSTS
    post_id: PostId
    author_id: UserId
    content: str
    created_at: Time

    @property
    def key(self) -> str:
        return self.author_id


class PostEdited(Event):
    """An author replaced the text of a post, perhaps by the same text."""

    topic = POSTS
    post_id: PostId
    author_id: UserId
    content: str
    edited_at: Time

    @property
    def key(self) -> str:
        return self.author_id


class PostDeleted(Event):
    """An author deleted a post, for good."""

    topic = POSTS
    post_id: PostId
    author_id: UserId
    deleted_at: Time

    @property
    def key(self) -> str:
        return self.author_id


class UserRegistered(Event):
    """A user registered, or changed the display name."""

    topic = GRAPH
    user_id: UserId
    display_name: str
    registered_at: Time

    @property
    def key(self) -> str:
        return self.user_id


class UserFollowed(Event):
    """`follower_id` follows `followee_id` from now on, if not already."""

    topic = GRAPH
    follower_id: UserId
    followee_id: UserId
    followed_at: Time

    @property
    def key(self) -> str:
        return self.followee_id


class UserUnfollowed(Event):
    """`follower_id` no longer follows `followee_id`, if ever."""

    topic = GRAPH
    follower_id: UserId
    followee_id: UserId
    unfollowed_at: Time

    @property
    def key(self) -> str:
        return self.followee_id


class DeliverSlice(Event):
    """Push one post into the timelines of one follower bucket."""

    topic = SLICES
    post_id: PostId
    author_id: UserId
    generation: int = Field(ge=0)
    bucket: int = Field(ge=0)

    @property
    def key(self) -> str:
        return f"{self.author_id}:{self.generation}.{self.bucket}"


class NewFollow(NamedTuple):
    """A follow to backfill: who, and the log position that made the edge active (its name)."""

    follower_id: UserId
    follow_position: int


class BackfillFollow(Event):
    """Copy one page of the followee's pushed posts into the new followers' timelines, newest first.

    Each step appends the next with `before` set to the last post copied; the last one marks the follows
    materialised.
    """

    topic = SLICES
    followee_id: UserId
    follows: tuple[NewFollow, ...]
    before: PostId | None = None

    @property
    def key(self) -> str:
        return f"{self.followee_id}:{self.follows[0].follower_id}"


EVENTS: tuple[type[Event], ...] = (
    PostCreated,
    PostEdited,
    PostDeleted,
    UserRegistered,
    UserFollowed,
    UserUnfollowed,
    DeliverSlice,
    BackfillFollow,
)
_BY_TYPE = {event.type_name().encode(): event for event in EVENTS}


class Encoded(NamedTuple):
    """An event as a record to append."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(event: Event, *, source: str, now_ms: int) -> Encoded:
    """The wire form. A post's creation keeps its `ce_id` (the post id) when it is appended again."""
    event_id: UUID = event.post_id if isinstance(event, PostCreated) else compat.uuid7()
    return Encoded(
        topic=event.topic,
        key=event.key.encode(),
        value=orjson.dumps(event.model_dump(mode="json")),
        headers=[
            ("ce_specversion", b"1.0"),
            ("ce_id", str(event_id).encode()),
            ("ce_type", event.type_name().encode()),
            ("ce_source", source.encode()),
            ("ce_time", rfc3339(now_ms).encode()),
            ("content-type", b"application/json"),
        ],
    )


def decode(headers: dict[str, bytes], value: bytes | None) -> Event:
    """The event of a record. Raises `Undecodable` for anything that isn't one this version knows."""
    model = _BY_TYPE.get(headers.get("ce_type", b""))
    if model is None:
        raise Undecodable(f"unknown event type {headers.get('ce_type', b'')!r}")
    try:
        return model.model_validate_json(value or b"")
    except ValidationError as error:
        raise Undecodable(f"{model.__name__}: {error}") from error
