"""What every event is: a frozen model with a topic, a key and, where it can happen twice, an identity."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from fanfold.core.clock import rfc3339
from fanfold.core.events.changes import Change

POSTS = "posts.v1"
GRAPH = "graph.v1"
TIES = "ties.v1"
ENGAGEMENT = "engagement.v1"
ACTIVITY = "activity.v1"
COMMANDS = "fanout.commands.v1"
DEAD_LETTERS = "dead-letters.v1"

PUBLIC_TOPICS = (POSTS, GRAPH, ENGAGEMENT, ACTIVITY)
"""Topics that any service may consume."""
PROJECTED_TOPICS = (*PUBLIC_TOPICS, TIES)
"""Topics that every table can be rebuilt from. Those that are not public are for Fanfold's own services."""

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


class EventModel(BaseModel):
    """What happened (past tense) or, on an internal topic, what is to be done (imperative)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]
    """The logical topic; `Settings.topic_prefix` makes it physical."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The partition key: events of one key are read in the order they were appended."""

    @abstractmethod
    def changes(self) -> tuple[Change, ...]:
        """What it changes, wherever that is stored or cached. Several cells are set by the same events."""

    @property
    def event_id(self) -> UUID | None:
        """The id by which a consumer knows the event when it is appended again; None: each append is new."""
        return None

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents `type`."""
        return f"fanfold.{cls.__name__}.v1"
