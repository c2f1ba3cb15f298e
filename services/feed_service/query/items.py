"""What a feed shows, in the form in which it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from fanfold.core.delivery import Delivery
from fanfold.http.post_resource import PostResource
from feed_service.query.hydrate import Hydrated
from feed_service.query.ranking import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedItem(PostResource):
    """A post in a feed."""

    source: Annotated[Delivery, Field(description="Whether it was pushed to the reader or pulled.")]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a post stands where it does: its score, which is the product of the other three, as of now."""

    score: float
    recency: Annotated[
        float, Field(description="1 / (hours + 2) ^ 1.8, of the post's age in hours.")
    ]
    engagement: Annotated[float, Field(description="1 + ln(1 + like_count).")]
    affinity: Annotated[
        float, Field(description="1 + the author's share of the reader's last 100 likes.")
    ]
    age_ms: Annotated[int, Field(description="The post's age.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedItem(FeedItem):
    """A post in a feed that is asked to explain itself."""

    explain: Explanation


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A page of a feed."""

    items: list[FeedItem | ExplainedItem]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]
    complete: Annotated[bool, Field(description="False when a source could not be asked.")]


@dataclass(frozen=True, slots=True)
class PostPage:
    """A page of an author's posts, newest first."""

    items: list[PostResource]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class Newest(NamedTuple):
    """The head of a feed. `authors` are those whose posts it shows; incomplete: a source could not be asked."""

    items: list[FeedItem]
    authors: frozenset[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class NewPosts:
    """How many posts have come."""

    count: Annotated[int, Field(description="Newer posts, at most 100 counted.")]
    more: Annotated[bool, Field(description="Whether there are more than were counted.")]
    complete: Annotated[bool, Field(description="False when a source could not be asked.")]


def feed_item(shown: Hydrated, *, liked: bool) -> FeedItem:
    """The item of a post in a feed."""
    return FeedItem.of(shown.post, author=shown.author.name, liked_by_me=liked, source=shown.source)


def explained_item(shown: Hydrated, parts: Parts, *, liked: bool, age_ms: int) -> ExplainedItem:
    """The same with the parts of its score."""
    return ExplainedItem.of(
        shown.post,
        author=shown.author.name,
        liked_by_me=liked,
        source=shown.source,
        explain=Explanation(parts.score, *parts, age_ms),
    )
