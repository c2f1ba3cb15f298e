"""A post as the API answers it."""

from __future__ import annotations

import asyncio
from uuid import UUID

from pydantic import BaseModel, Field

from fanfold.clock import rfc3339
from fanfold.http.blocks import blocked_between
from fanfold.http.openapi import Rfc3339
from fanfold.http.problems import needs
from fanfold.stores import Post, Stores, User
from post_service.existing_post import PostNotFound, refuse_posts_of_left


class PostAnswer(BaseModel):
    """A post, its author's name, and its likes."""

    post_id: UUID
    author_id: str
    author: str = Field(description="The author's display name now; the id if there is none.")
    content: str
    created_at: Rfc3339
    edited_at: Rfc3339 | None = Field(description="When the text last changed; null if never.")
    # With defaults, for answers kept with an Idempotency-Key may be older than these fields.
    like_count: int = Field(0, ge=0, description="How many users like it.")
    liked_by_me: bool = Field(False, description="Whether the acting user does.")


def post_answer(post: Post, author: str, *, liked_by_me: bool) -> PostAnswer:
    return PostAnswer(
        post_id=post.post_id,
        author_id=post.author_id,
        author=author,
        content=post.content,
        created_at=rfc3339(post.created_at_ms),
        edited_at=None if post.edited_at_ms is None else rfc3339(post.edited_at_ms),
        like_count=post.like_count,
        liked_by_me=liked_by_me,
    )


async def answer_to(viewer: str, post: Post, *, stores: Stores) -> PostAnswer:
    """The answer about a post that isn't deleted; 404 where its author has left or there is a block."""
    with needs("the tables"):
        users, liked, blocked = await asyncio.gather(
            stores.graph.users([post.author_id]),
            stores.likes.of_user(viewer, [post.post_id]),
            blocked_between(viewer, post.author_id, graph=stores.graph),
        )
    author = users.get(post.author_id)
    refuse_posts_of_left(author)
    if blocked:
        raise PostNotFound("There is no post with this id.")
    return post_answer(post, name_of(author, post.author_id), liked_by_me=post.post_id in liked)


def name_of(user: User | None, user_id: str) -> str:
    """The display name, or the id of one who never registered."""
    return (user and user.display_name) or user_id
