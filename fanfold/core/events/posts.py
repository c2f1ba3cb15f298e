"""Posts and their likes."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.events.changes import LikeChanged, PostAdded, PostChanged
from fanfold.core.events.model import ENGAGEMENT, POSTS, EventModel, Time
from fanfold.core.ids import PostId, UserId


class _AuthorsEvent(EventModel):
    topic = POSTS
    post_id: PostId
    author_id: UserId

    @property
    def key(self) -> str:
        return self.author_id


class PostCreated(_AuthorsEvent):
    """An author published a post. `created_at` is the millisecond inside `post_id`."""

    content: str
    created_at: Time

    @property
    def event_id(self) -> UUID:
        return self.post_id

    def changes(self) -> tuple[PostAdded]:
        return (PostAdded(self.author_id, self.post_id),)


class PostEdited(_AuthorsEvent):
    """An author replaced the text of a post, perhaps by the same text."""

    content: str
    edited_at: Time

    def changes(self) -> tuple[PostChanged]:
        return (PostChanged(self.author_id, self.post_id, deleted=False),)


class PostDeleted(_AuthorsEvent):
    """An author deleted a post. This is final."""

    deleted_at: Time

    def changes(self) -> tuple[PostChanged]:
        return (PostChanged(self.author_id, self.post_id, deleted=True),)


class _LikersEvent(EventModel):
    topic = ENGAGEMENT
    post_id: PostId
    author_id: UserId
    user_id: UserId

    @property
    def key(self) -> str:
        return str(self.post_id)


class PostLiked(_LikersEvent):
    """`user_id` likes a post of `author_id` from now on. May repeat a like that lasts."""

    liked_at: Time

    def changes(self) -> tuple[LikeChanged]:
        return (LikeChanged(self.user_id, self.post_id, self.author_id, active=True),)


class PostUnliked(_LikersEvent):
    """`user_id` no longer likes the post. There may have been no like."""

    unliked_at: Time

    def changes(self) -> tuple[LikeChanged]:
        return (LikeChanged(self.user_id, self.post_id, self.author_id, active=False),)
