"""Follows and unfollows of one followee, as a group: the crossings, the count, the edges, the backfill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fanfold.core.errors import Unavailable
from fanfold.core.events import (
    AuthorModeChanged,
    UserFollowed,
    UserRegistered,
    UserUnfollowed,
    to_ms,
)
from fanfold.core.ports import FollowerEdge, Stores, User
from fanfold.core.ports.log import EventLog
from fanout_service.backfill import Backfill
from fanout_service.entries import Entry
from fanout_service.fold_follows import Change, Folded, Rules, fold_follows, seen_by_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows:
    """The projection of registrations and follows, and the judge of each author's side."""

    stores: Stores
    log: EventLog
    backfill: Backfill
    rules: Rules

    async def project(self, entries: Sequence[Entry]) -> None:
        """Project a run of events that have one user as their key. One read of the row, however many events."""
        changes = [change for entry in entries if (change := _change(entry)) is not None]
        for record, event in entries:
            if isinstance(event, UserRegistered):
                await self.stores.users.register(
                    event.user_id, event.display_name, offset=record.offset
                )
        if changes:
            await self._follow(entries[0].event.key, changes)

    async def _follow(self, followee_id: str, changes: Sequence[Change]) -> None:
        followee = await self.stores.users.get(followee_id)
        follower_ids = {change.follower_id for change in changes if change.follower_id is not None}
        copies = await self._edges(followee, follower_ids)
        newest = {
            follower_id: max(edges, key=lambda edge: edge.offset)
            for follower_id, edges in copies.items()
        }
        if any(edge.offset > seen_by_count(followee) for edge in newest.values()):
            # The edges were read after the row: another worker, which has taken this one's place, writes both
            # meanwhile. Folding that would skip an edge as placed, and count it never.
            raise Unavailable("the edges are ahead of the count: another worker is writing them")
        folded = fold_follows(followee, newest, changes, self.rules)
        position = folded.followee.count_offset
        if position is not None and position != followee.count_offset:
            # 1. The crossings, before the row that knows of them: dying in between they are found, and appended
            #    under the same ids, again. The other way round they would be lost.
            if folded.crossings:
                await self.log.append_many(folded.crossings)
            # 2. The count, with its offset: dying here, an event is counted and known to be. The same row carries
            #    the newest generation, so no edge ever lies in a generation that a fan-out doesn't know of.
            await self.stores.users.write_follower_count(folded.followee, offset=position)
        if folded.edges:
            await self._write_edges(folded, copies)

    async def _write_edges(
        self, folded: Folded, copies: Mapping[str, Sequence[FollowerEdge]]
    ) -> None:
        followee_id = folded.followee.user_id
        # 3. The edges as their followee sees them: from here on a post that is planned sees the new followers.
        await self.stores.follows.write_followers(
            followee_id,
            [
                replace(edge, generation=copy.generation)
                for edge in folded.edges
                for copy in copies.get(edge.follower_id, [edge])
            ],
        )
        # 4. What to backfill, which is every post written before that: see `fan_out_post`.
        fresh = folded.to_backfill
        page = await self.backfill.first_page(followee_id) if fresh else []
        at_once = not self.backfill.has_to_copy(page)
        # 5. The edges as their followers see them, with the mark if there is nothing to wait for.
        marked = {follow.follower_id for follow in fresh} if at_once else ()
        await self.stores.follows.write_following(followee_id, folded.edges, materialised=marked)
        if fresh and not at_once:
            await self.backfill.begin(followee_id, fresh, page)

    async def _edges(
        self, followee: User, follower_ids: Collection[str]
    ) -> dict[str, list[FollowerEdge]]:
        """Each follower's edge, from every generation.

        There is more than one only where a write that was given up on landed late, after the author had outgrown a
        generation: then the newest is true, and all are written, so that none stays behind active.
        """
        found: dict[str, list[FollowerEdge]] = defaultdict(list)
        for generation in range(followee.generation + 1):
            edges = await self.stores.follows.follower_edges(
                followee.user_id, generation, follower_ids
            )
            for edge in edges.values():
                found[edge.follower_id].append(edge)
        return found


def _change(entry: Entry) -> Change | None:
    follower_id: str | None
    review: AuthorModeChanged | None = None
    match entry.event:
        case UserFollowed(follower_id=follower_id, followed_at=at):
            active = True
        case UserUnfollowed(follower_id=follower_id, unfollowed_at=at):
            active = False
        case AuthorModeChanged(cause="review", changed_at=at) as review:
            follower_id, active = None, False
        case _:
            return None
    record = entry.record
    return Change(follower_id, active, to_ms(at), record.appended_at_ms, record.offset, review)
