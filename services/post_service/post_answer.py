"""A post as the API answers it."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field

from fanfold.core.clock import rfc3339
from fanfold.core.ports import Post, User
from fanfold.http.openapi import Rfc3339


class PostAnswer(BaseModel):
    """A post, its author's name, and its likes."""

    post_id: UUID
    author_id: str
    author: str = Field(description="The author's display name now; the id if there is none.")
    content: str
    created_at: Rfc3339
    edited_at: Rfc3339 | None = Field(description="When the text last changed; null if never.")
    # The defaults are for answers that were stored with an Idempotency-Key before these fields existed.
    like_count: int = Field(0, ge=0, description="How many users like it.")
    liked_by_me: bool = Field(False, description="Whether the acting user does.")


def post_answer(post: Post, author: User, *, liked_by_me: bool) -> PostAnswer:
    """The answer; `author` is the author's row."""
    return PostAnswer(
        post_id=post.post_id,
        author_id=post.author_id,
        author=author.display_name or post.author_id,
        content=post.content,
        created_at=rfc3339(post.created_at_ms),
        edited_at=None if post.edited_at_ms is None else rfc3339(post.edited_at_ms),
        like_count=post.like_count,
        liked_by_me=liked_by_me,
    )
