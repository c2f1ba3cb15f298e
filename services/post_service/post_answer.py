"""A post as the API answers it."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field

from fanfold.clock import rfc3339
from fanfold.http.openapi import Rfc3339
from fanfold.stores import Graph, Post


class PostAnswer(BaseModel):
    """A post and its author's name."""

    post_id: UUID
    author_id: str
    author: str = Field(description="The author's display name now; the id if there is none.")
    content: str
    created_at: Rfc3339
    edited_at: Rfc3339 | None = Field(description="When the text last changed; null if never.")


def post_answer(post: Post, author: str) -> PostAnswer:
    return PostAnswer(
        post_id=post.post_id,
        author_id=post.author_id,
        author=author,
        content=post.content,
        created_at=rfc3339(post.created_at_ms),
        edited_at=None if post.edited_at_ms is None else rfc3339(post.edited_at_ms),
    )


async def author_name(author_id: str, *, graph: Graph) -> str:
    """The author's display name, or the id of one who never registered. Raises `Unavailable`."""
    user = (await graph.users([author_id])).get(author_id)
    return (user and user.display_name) or author_id
