"""Edits and deletions: one row each, however many feeds show the post."""

from __future__ import annotations

from dataclasses import dataclass

from fanfold.core.errors import Rejected
from fanfold.core.events import PostDeleted, PostEdited, to_ms
from fanfold.core.ports import Post, Posts
from fanfold.core.ports.log import Record
from fanout_service.post_counts import PostCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """The projections of `PostEdited` and `PostDeleted`."""

    posts: Posts
    post_counts: PostCounts

    async def edit(self, event: PostEdited, record: Record) -> None:
        """Write the new text. An edit to the same text leaves no trace."""
        post = await self._own_post(event)
        if post.offset is not None and post.offset >= record.offset:
            # Applied before. Later edits may have followed, and their text must not be compared with this one. It is repeated anyway: the
            # row doesn't show that the write has also returned, and so told the shared cache.
            await self.posts.note_offset(post.post_id, offset=record.offset)
            return
        if post.deleted or post.content == event.content:
            await self.posts.note_offset(post.post_id, offset=record.offset)
        else:
            await self.posts.edit(
                post.post_id,
                event.content,
                edited_at_ms=to_ms(event.edited_at),
                offset=record.offset,
            )

    async def delete(self, event: PostDeleted, record: Record) -> None:
        """Mark the post as deleted, whatever was applied after it: a deletion is final."""
        post = await self._own_post(event)
        await self.post_counts.remove(post.post_id, post.author_id, offset=record.offset)
        await self.posts.delete(post.post_id, offset=record.offset)

    async def _own_post(self, event: PostEdited | PostDeleted) -> Post:
        # The post's creation is earlier in the same partition, so it has been projected or dead-lettered.
        post = (await self.posts.get([event.post_id])).get(event.post_id)
        if post is None:
            raise Rejected(f"there is no post {event.post_id}")
        if post.author_id != event.author_id:
            raise Rejected(f"{event.author_id} is not the author of {event.post_id}")
        return post
