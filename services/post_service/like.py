"""Liking a post and taking it back: one event each; the worker alone writes likes and counts."""

from __future__ import annotations

from fanfold.core.clock import Clock
from fanfold.core.events import PostLiked, PostUnliked, from_ms
from fanfold.core.ports import Post, Stores
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.blocks import refuse_blocked
from fanfold.http.problems import needs
from post_service.existing_post import refuse_deleted, refuse_of_left
from post_service.post_answer import author_of


async def like(
    user_id: str, post: Post, *, log: EventLog, stores: Stores, clock: Clock
) -> Position | None:
    """Like a post. Idempotent: a second like leaves the first's time as it was. 403 across a block.

    The event is appended even if the tables show the like already: its end may be on its way to them.
    """
    await _refuse_gone(post, stores=stores)
    await refuse_blocked(user_id, post.author_id, stores=stores)
    event = PostLiked(
        post_id=post.post_id,
        author_id=post.author_id,
        user_id=user_id,
        liked_at=from_ms(clock.now_ms()),
    )
    with needs("the log"):
        return await log.append(event)


async def unlike(
    user_id: str, post: Post, *, log: EventLog, stores: Stores, clock: Clock
) -> Position | None:
    """Take a like back, if there is one. Idempotent. Also across a block: it is the user's own."""
    await _refuse_gone(post, stores=stores)
    event = PostUnliked(
        post_id=post.post_id,
        author_id=post.author_id,
        user_id=user_id,
        unliked_at=from_ms(clock.now_ms()),
    )
    with needs("the log"):
        return await log.append(event)


async def _refuse_gone(post: Post, *, stores: Stores) -> None:
    """Answer 404 for a post that is gone, alone or with its author."""
    refuse_deleted(post)
    with needs("the tables"):
        author = await author_of(post.author_id, stores=stores)
    refuse_of_left(author)
