"""The answers: what a feed shows, in the form in which it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from fanfold.core.delivery import Delivery
from fanfold.http.post_resource import PostResource
from feed_service.query.ranking import Explanation
from feed_service.query.watched_keys import Watched


@dataclass(slots=True, kw_only=True)
class FeedItem(PostResource):
    """A post in a feed."""

    source: Annotated[Delivery, Field(description="Whether it was pushed to the viewer or pulled.")]


@dataclass(slots=True, kw_only=True)
class ExplainedItem(FeedItem):
    """A post in a feed, with the reasons for its rank."""

    explain: Explanation


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A page of a feed."""

    # The form with one field more comes first: generated clients take the first form that fits.
    items: list[ExplainedItem | FeedItem]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]
    complete: Annotated[bool, Field(description="False when a source could not be asked.")]


@dataclass(frozen=True, slots=True)
class PostPage:
    """A page of an author's posts, newest first."""

    items: list[PostResource]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


@dataclass(frozen=True, slots=True)
class NewPosts:
    """The count of newer posts."""

    count: Annotated[int, Field(description="Newer posts, at most 100 counted.")]
    more: Annotated[bool, Field(description="Whether there are more than were counted.")]
    complete: Annotated[bool, Field(description="False when a source could not be asked.")]


class Newest(NamedTuple):
    """The newest posts of a feed, for a live one, and the keys of the shared cache that they were read from."""

    items: Sequence[FeedItem]
    watched: Watched
    complete: bool
