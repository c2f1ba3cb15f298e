"""Likes of one post, as a group: first the count, then the likers' lists by time, then the likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fanfold.core.errors import Unavailable
from fanfold.core.events import LikeEvent
from fanfold.core.ports import Likes
from fanout_service.fold_likes import fold_likes, like_change, seen_by_count
from fanout_service.recorded_event import RecordedEvent
from fanout_service.run_concurrently import run_concurrently


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLikes:
    """The projection of the engagement topic."""

    likes: Likes

    async def project(self, group: Sequence[RecordedEvent[LikeEvent]]) -> None:
        """Project events of one post: one read and at most one write of its row, however many events.

        Doesn't check that the post exists: its creation is in another topic, and may be projected later.
        """
        changes = [like_change(event, record.offset) for record, event in group]
        post_id = changes[0].post_id
        count = await self.likes.count(post_id)
        stored = await self.likes.of_post(post_id, {change.user_id for change in changes})
        if any(like.offset > seen_by_count(count) for like in stored.values()):
            # The likes were read after the count. So another worker has taken over, and is writing both. To fold now would
            # skip a like that is stored, and never count it.
            raise Unavailable("the likes are ahead of their count: another worker is writing them")
        folded = fold_likes(count, stored, changes)
        # 1. The count, with its offset: after a crash here, an event is counted and known to be counted.
        #    It is written again as long as a like is missing: the row alone doesn't show that the write has also returned, and
        #    so told the shared cache.
        if folded.likes and folded.count.offset is not None:
            await self.likes.write_count(post_id, folded.count.likes, offset=folded.count.offset)
        # 2. The lists by time. Offsets decide their cells, so the order of these writes doesn't matter.
        await run_concurrently(
            self.likes.write_recent(
                entry.user_id, entry.like, active=entry.active, offset=entry.offset
            )
            for entry in folded.entries
        )
        # 3. The likes. They vouch for all of the above.
        await self.likes.write(folded.likes)
