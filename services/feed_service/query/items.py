"""What a feed shows, in the form in which it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import Field

from fanfold.core.clock import rfc3339
from fanfold.core.delivery import Delivery
from fanfold.core.ports import Post
from fanfold.http.openapi import Rfc3339
from feed_service.query.hydrate import Hydrated
from feed_service.query.ranking import Parts


@dataclass(frozen=True, slots=True)
class PostItem:
    """A post in a list."""

    post_id: UUID
    author_id: str
    author: Annotated[str, Field(description="The display name; without one the id.")]
    content: str
    created_at: Rfc3339
    edited_at: Rfc3339 | None
    like_count: Annotated[int, Field(description="How many like it, at most about a second ago.")]
    liked_by_me: bool


@dataclass(frozen=True, slots=True)
class FeedItem(PostItem):
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


@dataclass(frozen=True, slots=True)
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

    items: list[PostItem]
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


def post_item(post: Post, author: str, *, liked: bool) -> PostItem:
    """The item of a post, which its reader likes or doesn't."""
    return PostItem(*_shown(post, author, liked))


def feed_item(shown: Hydrated, *, liked: bool) -> FeedItem:
    """The item of a post in a feed."""
    return FeedItem(*_shown(shown.post, shown.author.name, liked), shown.source)


def explained_item(shown: Hydrated, parts: Parts, *, liked: bool, age_ms: int) -> ExplainedItem:
    """The same with the parts of its score."""
    explanation = Explanation(parts.score, *parts, age_ms)
    return ExplainedItem(*_shown(shown.post, shown.author.name, liked), shown.source, explanation)


def _shown(
    post: Post, author: str, liked: bool
) -> tuple[UUID, str, str, str, str, str | None, int, bool]:
    edited_at = None if post.edited_at_ms is None else rfc3339(post.edited_at_ms)
    return (
        post.post_id,
        post.author_id,
        author,
        post.content,
        rfc3339(post.created_at_ms),
        edited_at,
        post.like_count,
        liked,
    )
