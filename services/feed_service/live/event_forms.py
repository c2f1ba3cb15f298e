"""The forms of a live feed's events, for the OpenAPI document: generated clients have a type for each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel
from pydantic.json_schema import models_json_schema

from feed_service.query.items import FeedItem


class RemovedPost(BaseModel):
    """Of a `removed` event: drop this post."""

    post_id: str = Field(json_schema_extra={"format": "uuid"})


class FeedLevel(BaseModel):
    """Of a `level` event: the client now has the newest posts of the feed."""

    posts: int = Field(ge=0, description="How many posts the client has.")
    new: int | None = Field(
        default=None,
        ge=0,
        description="With `since`: how many of them are newer. If all of them are, there may be more.",
    )


class _Event(BaseModel):
    id: str = Field(description="For `Last-Event-ID`: a new stream goes on from there.")


class PostShownEvent(_Event):
    """Insert the item, or replace the one with its `post_id`."""

    event: Literal["post"]
    data: FeedItem


class PostRemovedEvent(_Event):
    """Drop a post."""

    event: Literal["removed"]
    data: RemovedPost


class LevelEvent(_Event):
    """All changes so far have been sent."""

    event: Literal["level"]
    data: FeedLevel


class LiveFeedEvent(
    RootModel[
        Annotated[PostShownEvent | PostRemovedEvent | LevelEvent, Field(discriminator="event")]
    ]
):
    """One server-sent event, with its `data` parsed."""


def event_stream() -> dict[str, Any]:
    """The media type of the answer: a text, and as `contentSchema` the form of each event in it."""
    _, defined = models_json_schema(
        [(LiveFeedEvent, "serialization")], ref_template="#/components/schemas/{model}"
    )
    text = {
        "type": "string",
        "contentMediaType": "text/event-stream",
        "contentSchema": {"$ref": "#/components/schemas/LiveFeedEvent"},
    }
    return {"schema": text, "$defs": defined["$defs"]}
