"""Likes of a batch, all together: first the counts, then the likers' lists by time, then the likes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fanfold.core.errors import Unavailable
from fanfold.core.events import LikeEvent
from fanfold.core.ports import Like, Likes
from fanout_service.fold_likes import LikeChange, fold_likes, like_change, seen_by_count
from fanout_service.recorded_event import RecordedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLikes:
    """The projection of the engagement topic."""

    likes: Likes

    async def project(self, group: Sequence[RecordedEvent[LikeEvent]]) -> None:
        """Project events, those of one post in order: one read and at most one write of its row, however many.

        Doesn't check that the posts exist: a creation is in another topic, and may be projected later.
        """
        changes: defaultdict[UUID, list[LikeChange]] = defaultdict(list)
        pairs: dict[tuple[str, UUID], None] = {}
        for record, event in group:
            change = like_change(event, record.offset)
            changes[change.post_id].append(change)
            pairs[change.user_id, change.post_id] = None
        counts = await self.likes.counts(changes.keys())
        stored: defaultdict[UUID, dict[str, Like]] = defaultdict(dict)
        for (user_id, post_id), like in (await self.likes.of_pairs(pairs.keys())).items():
            if like.offset > seen_by_count(counts[post_id]):
                # The likes were read after the count. So another worker has taken over, and is writing both. To fold now
                # would skip a like that is stored, and never count it.
                raise Unavailable(
                    "the likes are ahead of their count: another worker is writing them"
                )
            stored[post_id][user_id] = like
        folded = [
            (post_id, fold_likes(counts[post_id], stored.get(post_id, {}), of_post))
            for post_id, of_post in changes.items()
        ]
        # 1. The counts, with their offsets: after a crash here, an event is counted and known to be counted.
        #    A count is written again as long as a like is missing: the row alone doesn't show that the write has also returned,
        #    and so told the shared cache.
        await self.likes.write_counts(
            {post_id: of_post.count for post_id, of_post in folded if of_post.likes}
        )
        # 2. The lists by time. Offsets decide their cells, so the order of these writes doesn't matter.
        await self.likes.write_recent([entry for _, of_post in folded for entry in of_post.entries])
        # 3. The likes. They vouch for all of the above.
        await self.likes.write([like for _, of_post in folded for like in of_post.likes])
