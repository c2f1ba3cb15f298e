"""Changing a post's text: append, then show what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fanfold.core.clock import Clock
from fanfold.core.events import PostEdited, from_ms, to_ms
from fanfold.core.ports import Post, Posts
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.problems import needs
from fanfold.http.write_through import best_effort

# What a client may be made to wait for the worker: about what a person doesn't notice.
_POLL_S = 0.05
_POLLS = 5


@dataclass(frozen=True, slots=True)
class EditPost:
    """Edits posts.

    There is no write-through: whether an edit changes the text, and so `edited_at`, is judged in the log's order.
    """

    log: EventLog
    posts: Posts
    clock: Clock

    async def __call__(self, post: Post, content: str) -> tuple[Post, Position | None]:
        """Replace the text. Returns the post as it is once the edit is applied, or else as it will be.

        Another edit, or a deletion, may have come after this one: then the post shows that.
        """
        event = PostEdited(
            post_id=post.post_id,
            author_id=post.author_id,
            content=content,
            edited_at=from_ms(self.clock.now_ms()),
        )
        with needs("the log"):
            position = await self.log.append(event)
        applied = None
        if position is not None:
            applied = await best_effort(self._applied(post, position))
        return applied or _promised(post, event), position

    async def _applied(self, post: Post, position: Position) -> Post | None:
        for _ in range(_POLLS):
            row = (await self.posts.get([post.post_id])).get(post.post_id)
            if row and row.offset is not None and row.offset >= position.offset:
                return row
            await self.clock.sleep(_POLL_S)
        return None


def _promised(post: Post, event: PostEdited) -> Post:
    if event.content == post.content:
        return post
    return replace(post, content=event.content, edited_at_ms=to_ms(event.edited_at))
