"""Liking and unliking a post: one event each. Only the worker writes likes and counts."""

from __future__ import annotations

import asyncio

from fanfold.core.clock import Clock
from fanfold.core.events import PostLiked, PostUnliked, from_ms
from fanfold.core.ports import Post, Ties, Users
from fanfold.core.ports.log import EventLog
from fanfold.http.blocks import refuse_active
from fanfold.http.positions import Written, append
from post_service.existing_post import refuse_deleted, refuse_left_author


async def like(
    user_id: str, post: Post, *, log: EventLog, users: Users, ties: Ties, clock: Clock
) -> Written | None:
    """Like a post. Idempotent: a second like leaves the time of the first as it was. Answers 403 across a block.

    The event is appended even if the tables show the like already: its end may be on its way to them.
    """
    refuse_deleted(post)
    author, blocks = await asyncio.gather(
        users.get(post.author_id), ties.blocks_between(user_id, post.author_id)
    )
    refuse_left_author(author)
    refuse_active(blocks)
    event = PostLiked(
        post_id=post.post_id,
        author_id=post.author_id,
        user_id=user_id,
        liked_at=from_ms(clock.now_ms()),
    )
    return await append(log, event)


async def unlike(
    user_id: str, post: Post, *, log: EventLog, users: Users, clock: Clock
) -> Written | None:
    """End a like, if there is one. Idempotent. A block doesn't prevent it: the like is the user's own."""
    refuse_deleted(post)
    refuse_left_author(await users.get(post.author_id))
    event = PostUnliked(
        post_id=post.post_id,
        author_id=post.author_id,
        user_id=user_id,
        unliked_at=from_ms(clock.now_ms()),
    )
    return await append(log, event)
