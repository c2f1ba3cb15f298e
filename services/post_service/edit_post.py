"""Changing a post's text: append, then answer with the edited post."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fanfold.core.clock import Clock
from fanfold.core.events import PostEdited, from_ms, to_ms
from fanfold.core.ports import Post, Posts
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.best_effort import best_effort
from fanfold.http.positions import Written, append

# The client waits up to a quarter of a second for the worker: too short for a person to notice.
_POLL_S = 0.05
_POLLS = 5


@dataclass(frozen=True, slots=True)
class EditPost:
    """Edits posts.

    The row is not written through: only the log's order shows whether an edit changes the text, and so `edited_at`.
    """

    log: EventLog
    posts: Posts
    clock: Clock

    async def __call__(self, post: Post, content: str) -> tuple[Post, Written | None]:
        """Replace the text. Returns the post with the edit applied, or as it will be if the worker is late.

        If another edit or a deletion came after this one, the post shows that.
        """
        event = PostEdited(
            post_id=post.post_id,
            author_id=post.author_id,
            content=content,
            edited_at=from_ms(self.clock.now_ms()),
        )
        written = await append(self.log, event)
        applied = None
        if written is not None:
            applied = await best_effort(self._applied(post, written.position))
        return applied or _promised(post, event), written

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
