"""What a feed shows, in the form in which it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import Field

from fanfold.clock import rfc3339
from fanfold.http.openapi import Rfc3339
from fanfold.stores import Mode, Post


@dataclass(frozen=True, slots=True)
class PostItem:
    """A post in a list."""

    post_id: UUID
    author_id: str
    author: Annotated[str, Field(description="The display name; without one the id.")]
    content: str
    created_at: Rfc3339
    edited_at: Rfc3339 | None
    like_count: int
    liked_by_me: bool


@dataclass(frozen=True, slots=True)
class FeedItem(PostItem):
    """A post in a feed."""

    source: Annotated[Mode, Field(description="Whether it was pushed to the reader or pulled.")]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A page of a feed."""

    items: list[FeedItem]
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


def post_item(post: Post, author: str) -> PostItem:
    """The item of a post."""
    return PostItem(*_shown(post, author))


def feed_item(post: Post, author: str, source: Mode) -> FeedItem:
    """The item of a post in a feed."""
    return FeedItem(*_shown(post, author), source)


def _shown(post: Post, author: str) -> tuple[UUID, str, str, str, str, str | None, int, bool]:
    edited_at = None if post.edited_at_ms is None else rfc3339(post.edited_at_ms)
    # Nobody can like a post yet: 0 and false are the truth, not a stand-in.
    return (
        post.post_id,
        post.author_id,
        author,
        post.content,
        rfc3339(post.created_at_ms),
        edited_at,
        0,
        False,
    )
