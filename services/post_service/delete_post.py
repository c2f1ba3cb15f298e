"""Deleting a post, for good."""

from __future__ import annotations

from fanfold.core.clock import Clock
from fanfold.core.events import PostDeleted, from_ms
from fanfold.core.ports import Post, Posts
from fanfold.core.ports.log import EventLog
from fanfold.http.best_effort import best_effort
from fanfold.http.positions import Written, append


async def delete_post(post: Post, *, log: EventLog, posts: Posts, clock: Clock) -> Written | None:
    """Append the deletion. Idempotent: for a post that is deleted already, nothing is appended."""
    if post.deleted:
        return None
    event = PostDeleted(
        post_id=post.post_id, author_id=post.author_id, deleted_at=from_ms(clock.now_ms())
    )
    written = await append(log, event)
    if written is not None:
        await best_effort(posts.delete(post.post_id, offset=written.position.offset))
    return written
