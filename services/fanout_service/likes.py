"""Likes of one post, as a group: the count, then the likers' lists by time, then the likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fanfold.core.errors import Unavailable
from fanfold.core.events import PostLiked, PostUnliked
from fanfold.core.ports import Likes
from fanout_service.concurrently import concurrently
from fanout_service.entries import Entry
from fanout_service.fold_likes import fold_likes, like_change, seen_by_count


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLikes:
    """The projection of the topic of engagement."""

    likes: Likes

    async def project(self, entries: Sequence[Entry]) -> None:
        """Project a run of events of one post: one read and at most one write of its row, however many events.

        Whether the post exists is not asked: its creation is in another topic, and may be projected later.
        """
        changes = [
            like_change(event, record.offset)
            for record, event in entries
            if isinstance(event, PostLiked | PostUnliked)
        ]
        if not changes:
            return
        post_id = changes[0].post_id
        count = await self.likes.count(post_id)
        stored = await self.likes.of_post(post_id, {change.user_id for change in changes})
        if any(like.offset > seen_by_count(count) for like in stored.values()):
            # The likes were read after the count: another worker, which has taken this one's place, writes both
            # meanwhile. Folding that would skip a like as placed, and count it never.
            raise Unavailable("the likes are ahead of their count: another worker is writing them")
        folded = fold_likes(count, stored, changes)
        # 1. The count, with its offset: dying here, an event is counted and known to be.
        if folded.count.offset is not None and folded.count != count:
            await self.likes.write_count(post_id, folded.count.likes, offset=folded.count.offset)
        # 2. The lists by time. A cell of them is decided by its offset, so their order does not matter.
        await concurrently(
            self.likes.write_recent(
                entry.user_id, entry.like, active=entry.active, offset=entry.offset
            )
            for entry in folded.entries
        )
        # 3. The likes, which say that all of it has happened.
        await self.likes.write(folded.likes)
