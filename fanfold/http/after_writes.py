"""Reading one's own writes: waiting, briefly, until the tables show the events that a request names.

A write answers with what its event changed (`fanfold.http.positions`). That says which row to look at, and the row says whether the
event is applied: no request waits for other users' writes, nor for a fan-out. A post is seen as soon as it is stored, because the read
then pulls its author instead of waiting for the timeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient, Undecodable
from fanfold.core.events import (
    AwakeningBegun,
    Change,
    DeliveryChanged,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    ViewerCell,
    ViewerGraphChanged,
)
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanfold.core.retry import Backoff, retry
from fanfold.http.positions import Written

WITHIN_S = 1.0
"""Longest wait for all writes of a request together."""

_PAUSES = Backoff(first_s=0.01, longest_s=0.1)
_ASKED_AGAIN = (Transient, TimeoutError)


class _NotShown(Transient):
    """The tables don't show an event yet."""


class Awaited(NamedTuple):
    """What became of the writes of a request: the changes that the tables show, and whether one is missing.

    Cached values may be older than these changes.
    """

    changes: tuple[Change, ...]
    behind: bool

    @property
    def authors(self) -> frozenset[str]:
        """The authors of new posts: pull them for this read."""
        return frozenset(
            change.author_id for change in self.changes if isinstance(change, PostAdded)
        )


NOTHING_AWAITED = Awaited((), behind=False)


@dataclass(frozen=True, slots=True)
class AfterWrites:
    """Waits until the tables show events. The log is asked only for a position without changes."""

    log: EventLog
    stores: Stores
    clock: Clock

    async def __call__(self, viewer: str, writes: Sequence[Written]) -> Awaited:
        """Return when the tables show those of the events that concern this viewer, or after a second."""
        if not writes:
            return NOTHING_AWAITED
        deadline_s = self.clock.monotonic_s() + WITHIN_S
        seen = await asyncio.gather(
            *(self._seen(viewer, written, deadline_s) for written in writes)
        )
        changes = tuple(change for of_one in seen for change in of_one or ())
        return Awaited(changes, behind=None in seen)

    async def _seen(
        self, viewer: str, written: Written, deadline_s: float
    ) -> tuple[Change, ...] | None:
        """The changes of an event once the tables show them; None when they don't in time, or the log has no such event."""
        changes = written.changes

        async def look() -> tuple[Change, ...]:
            nonlocal changes
            async with asyncio.timeout(max(0.0, deadline_s - self.clock.monotonic_s())):
                if changes is None:
                    changes = await self._changes(written)
                offset = written.position.offset
                shown = [await self.shows(viewer, change, offset) for change in changes]
            if not all(shown):
                raise _NotShown
            return changes

        try:
            # An engine that is away for a moment is asked again, like one that is late.
            return await retry(
                look, backoff=_PAUSES, clock=self.clock, deadline_s=deadline_s, on=_ASKED_AGAIN
            )
        except (*_ASKED_AGAIN, Undecodable):
            return None

    async def _changes(self, written: Written) -> tuple[Change, ...]:
        record = await self.log.read(written.position)
        if record is None:
            raise _NotShown
        return record.event().changes()

    async def shows(self, viewer: str, change: Change, offset: int) -> bool:
        """Whether the tables hold this change, as far as it concerns the viewer."""
        shown: int | None = None
        match change:
            case PostAdded(author_id, post_id):
                return await self._listed(author_id, post_id)
            case PostChanged(post_id=post_id):
                post = (await self.stores.posts.get([post_id])).get(post_id)
                shown = post.offset if post else None
            case LikeChanged(user_id, post_id):
                shown = await self._like_offset(post_id, user_id if user_id == viewer else None)
            case NameChanged(user_id):
                shown = (await self.stores.users.get(user_id)).name_offset
            case UserGone(user_id):
                return (await self.stores.users.get(user_id)).left
            case ViewerGraphChanged(viewer_id, cell, active) if viewer_id == viewer:
                shown = await self._cell_offset(viewer, cell, active=active)
            case ViewerGraphChanged() | DeliveryChanged():
                return True  # not part of what this viewer reads
            case AwakeningBegun():
                # The user stays asleep until the timeline is filled again: meanwhile the feed is whole by pull.
                return True
            case _:
                assert_never(change)
        return shown is not None and shown >= offset

    async def _like_offset(self, post_id: UUID, liker: str | None) -> int | None:
        """The offset of a like; without its user, that of the last like that the post counts, because who liked a post is private."""
        if liker is not None:
            # The like is written last, so the count and the liker's list hold it too.
            like = (await self.stores.likes.of_post(post_id, [liker])).get(liker)
            return like.offset if like else None
        post = (await self.stores.posts.get([post_id])).get(post_id)
        return post.like_offset if post else None

    async def _listed(self, author_id: str, post_id: UUID) -> bool:
        newest = await self.stores.posts.by_author(
            author_id,
            before=UUID(int=post_id.int + 1),
            since_ms=created_at_ms(post_id),
            limit=1,
        )
        return any(pointer.post_id == post_id for pointer in newest)

    async def _cell_offset(self, viewer: str, cell: ViewerCell, *, active: bool) -> int | None:
        """The offset of the last event that the tables show of a cell."""
        match cell.kind:
            case "follow":
                if not active:
                    return await self._end_offset(viewer, cell.other_id)
                follows = await self.stores.follows.follows_of(viewer, [cell.other_id])
                follow = follows.get(cell.other_id)
                return follow.offset if follow else None
            case "mute":
                mute = await self.stores.ties.mute_of(viewer, cell.other_id)
                return mute.offset if mute else None
            case "block" | "blocked_by":
                ties = await self.stores.ties.blocks_between(viewer, cell.other_id)
                mine = cell.kind == "block"
                return max((tie.offset for tie in ties if tie.mine == mine), default=None)
            case "asleep":
                return (await self.stores.users.get(viewer)).asleep_offset
            case _:
                assert_never(cell.kind)

    async def _end_offset(self, follower_id: str, followee_id: str) -> int | None:
        # The count first: once it has seen the event, a follow that came before is in the tables, and none means that
        # there was none to end.
        followee = await self.stores.users.get(followee_id)
        follows = await self.stores.follows.follows_of(follower_id, [followee_id])
        follow = follows.get(followee_id)
        if follow is not None:
            return follow.offset
        return followee.count_offset
