"""Finding the post that a request names, and who may see or change it."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Post, Posts, User
from fanfold.core.settings import Settings
from fanfold.http.problems import Forbidden, NotFound, NotNow

# Longer than a worker takes to restart, so that no acknowledged post is answered with 404.
MAY_BE_UNPROJECTED_MS = 60_000


class PostNotFound(NotFound):
    kind = "post-not-found"
    title = "No such post"


class PostNotYetVisible(NotNow):
    kind = "post-not-yet-visible"
    title = "The post may not be visible yet"


class NotYourPost(Forbidden):
    kind = "not-your-post"
    title = "Not your post"


async def existing_post(post_id: UUID, *, posts: Posts, clock: Clock, settings: Settings) -> Post:
    """The post, even a deleted one.

    Answers 503 if the post is absent and so young that its event may be on its way, and 404 if it is absent otherwise.
    """
    found = await posts.get([post_id])
    if post_id in found:
        return found[post_id]
    if may_be_unprojected(post_id, clock=clock, settings=settings):
        raise PostNotYetVisible("A post this young may not be visible yet. Retry.")
    raise PostNotFound("There is no post with this id.")


def may_be_unprojected(post_id: UUID, *, clock: Clock, settings: Settings) -> bool:
    """Whether a post that the tables lack is so young that its event may be on its way."""
    age_ms = clock.now_ms() - created_at_ms(post_id)
    return -settings.max_clock_skew_s * 1000 <= age_ms < MAY_BE_UNPROJECTED_MS


def refuse_deleted(post: Post) -> None:
    """Answer 404 for a deleted post, as if it had never existed."""
    if post.deleted:
        raise PostNotFound("There is no post with this id.")


def refuse_left_author(author: User) -> None:
    """Answer 404 for a post whose author has left."""
    if author.left:
        raise PostNotFound("There is no post with this id.")


def refuse_others(post: Post, actor: str) -> None:
    """Answer 403 unless the actor is the author."""
    if post.author_id != actor:
        raise NotYourPost("Only the author of a post may do this.")
