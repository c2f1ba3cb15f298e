"""Follows and unfollows of one followee, as a group: the crossings, the count, the edges, the backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from fanfold.core.errors import Unavailable
from fanfold.core.events import (
    AuthorModeChanged,
    GraphEvent,
    UserFollowed,
    UserLeft,
    UserRegistered,
    UserUnfollowed,
    to_ms,
)
from fanfold.core.ports import FollowerEdge, Stores
from fanfold.core.ports.log import EventLog
from fanout_service.backfill import Backfill
from fanout_service.edges import edges_to, newest_edges
from fanout_service.fold_follows import (
    FoldedFollows,
    FollowChange,
    Rules,
    fold_follows,
    seen_by_count,
)
from fanout_service.recorded_event import RecordedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows:
    """The projection of registrations, follows and reviews. It alone decides each author's delivery."""

    stores: Stores
    log: EventLog
    backfill: Backfill
    rules: Rules

    async def project(self, group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        """Project events that have one user as their key. One read of the user's row, however many events."""
        changes: list[FollowChange] = []
        for record, event in group:
            follower_id: str | None = None
            review: AuthorModeChanged | None = None
            active = False
            match event:
                case UserFollowed(followed_at=at):
                    follower_id, active = event.follower_id, True
                case UserUnfollowed(unfollowed_at=at):
                    follower_id = event.follower_id
                case AuthorModeChanged(changed_at=at):
                    if event.cause == "count":
                        continue  # the row was written by the fold that appended this
                    review = event
                case UserRegistered():
                    await self.stores.users.register(
                        event.user_id,
                        event.display_name,
                        bio=event.bio,
                        avatar_url=event.avatar_url,
                        registered_at_ms=to_ms(event.registered_at),
                        offset=record.offset,
                    )
                    continue
                case UserLeft():
                    continue  # see `Leaving`
                case _:
                    assert_never(event)
            changes.append(
                FollowChange(
                    follower_id, active, to_ms(at), record.appended_at_ms, record.offset, review
                )
            )
        if changes:
            await self._follow(group[0].event.key, changes)

    async def _follow(self, followee_id: str, changes: Sequence[FollowChange]) -> None:
        followee = await self.stores.users.get(followee_id)
        follower_ids = {change.follower_id for change in changes if change.follower_id is not None}
        copies = await edges_to(followee, follower_ids, stores=self.stores)
        newest = newest_edges(copies)
        if any(edge.offset > seen_by_count(followee) for edge in newest.values()):
            # The edges were read after the row. So another worker has taken over, and is writing both. To fold now would skip
            # an edge that is stored, and never count it.
            raise Unavailable("the edges are ahead of the count: another worker is writing them")
        folded = fold_follows(followee, newest, changes, self.rules)
        offset = folded.followee.count_offset
        if offset is not None and offset != followee.count_offset:
            # 1. The crossings, before the row that includes them: after a crash in between they are found again, and
            #    appended under the same ids. The other way round they would be lost.
            if folded.crossings:
                await self.log.append_many(folded.crossings)
            # 2. The count, with its offset: after a crash here, an event is counted and known to be counted. The same row
            #    holds the newest generation, so a fan-out knows the generation of every edge.
            await self.stores.users.write_follower_count(folded.followee, offset=offset)
        if folded.edges:
            await self._write_edges(folded, copies)

    async def _write_edges(
        self, folded: FoldedFollows, copies: Mapping[str, Sequence[FollowerEdge]]
    ) -> None:
        followee_id = folded.followee.user_id
        # 3. The edges on the followee's side: every post planned from now on sees the new followers.
        await self.stores.follows.write_followers(
            followee_id,
            [
                edge
                if copy.generation == edge.generation
                else replace(edge, generation=copy.generation)
                for edge in folded.edges
                for copy in copies.get(edge.follower_id, [edge])
            ],
        )
        # 4. The posts to backfill: every post written before that (see `fan_out_post`).
        fresh = folded.to_backfill
        page = await self.backfill.first_page(followee_id) if fresh else []
        at_once = not self.backfill.has_to_copy(page)
        # 5. The edges on the followers' side, already marked as materialised if there is nothing to copy.
        marked = {follow.follower_id for follow in fresh} if at_once else ()
        await self.stores.follows.write_following(followee_id, folded.edges, materialised=marked)
        if fresh and not at_once:
            await self.backfill.begin(followee_id, fresh, page)
