"""Edits and deletions: one row each, whatever the number of feeds that show the post."""

from __future__ import annotations

from dataclasses import dataclass

from fanfold.core.errors import Rejected
from fanfold.core.events import PostDeleted, PostEdited, to_ms
from fanfold.core.ports import Post, Posts
from fanfold.core.ports.log import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """The projections of `PostEdited` and `PostDeleted`."""

    posts: Posts

    async def edit(self, event: PostEdited, record: Record) -> None:
        """Show the new text; a text that is the same leaves no trace of an edit."""
        post = await self._own_post(event)
        if post.offset is not None and post.offset >= record.offset:
            # Applied already, and perhaps followed by others: comparing with *their* text would be wrong.
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
        """Mark it deleted, whatever was applied after it: no later event makes it undeleted."""
        post = await self._own_post(event)
        await self.posts.delete(post.post_id, offset=record.offset)

    async def _own_post(self, event: PostEdited | PostDeleted) -> Post:
        # Its creation lies before this event in the same partition, so it is projected or a dead letter.
        post = (await self.posts.get([event.post_id])).get(event.post_id)
        if post is None:
            raise Rejected(f"there is no post {event.post_id}")
        if post.author_id != event.author_id:
            raise Rejected(f"{event.author_id} is not the author of {event.post_id}")
        return post
