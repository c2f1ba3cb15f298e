"""Reading one's own writes: waiting, briefly, until the tables show the events at given positions of the log.

A position names an event. The event says which row to look at, and the row says whether the event is applied: no request
waits for other users' writes, nor for a fan-out. A post is seen as soon as it is stored, because the read then pulls its
author instead of waiting for the timeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient, Undecodable
from fanfold.core.events import (
    PROJECTED_TOPICS,
    AwakeningBegun,
    Change,
    DeliveryChanged,
    Event,
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
from fanfold.core.ports.log import EventLog, Position
from fanfold.core.retry import Backoff, retry

WITHIN_S = 1.0
"""Longest wait for all positions of a request together."""

_PAUSES = Backoff(first_s=0.01, longest_s=0.1)
_TAIL_WITHIN_S = (
    0.05  # until then only the tail is asked, because the log reads one record at a time
)
_ASKED_AGAIN = (Transient, TimeoutError)

Apply = Callable[[Event, int], None]
Forget = Callable[[Event], Awaitable[None]]
Recent = Callable[[Position], Event | None]


class _NotShown(Transient):
    """The tables don't show an event yet."""


class Awaited(NamedTuple):
    """What became of the positions of a request: the authors to pull for this read, and whether an event is missing."""

    authors: frozenset[str]
    behind: bool


NOTHING_AWAITED = Awaited(frozenset(), behind=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterWrites:
    """Waits until the tables show events.

    `forget` makes the shared cache forget what an event changed; `apply` applies the event to this process's caches, as the tail of
    the log would; `recent` are events that the tail has applied.
    """

    log: EventLog
    stores: Stores
    clock: Clock
    forget: Forget
    apply: Apply
    recent: Recent

    async def __call__(self, viewer: str, positions: Sequence[Position]) -> Awaited:
        """Return when the tables show those of the events that concern this viewer, or after a second."""
        if not positions:
            return NOTHING_AWAITED
        deadline_s = self.clock.monotonic_s() + WITHIN_S
        seen = await asyncio.gather(
            *(self._seen(viewer, position, deadline_s) for position in positions)
        )
        authors = frozenset(
            change.author_id
            for event in seen
            if event is not None
            for change in event.changes()
            if isinstance(change, PostAdded)
        )
        return Awaited(authors, behind=None in seen)

    async def _seen(self, viewer: str, position: Position, deadline_s: float) -> Event | None:
        """The event once the tables show it; None when they don't in time, or the log has no such event."""
        if position.topic not in PROJECTED_TOPICS:
            return None
        event: Event | None = None

        async def look() -> Event:
            nonlocal event
            async with asyncio.timeout(max(0.0, deadline_s - self.clock.monotonic_s())):
                event = event or await self._event(position, deadline_s)
                if event is None or not await self._shown(viewer, event, position.offset):
                    raise _NotShown
                await self.forget(event)
                # From here on nothing older is cached: a load that began before is known to be old.
                self.apply(event, position.offset)
                return event

        try:
            # An engine that is away for a moment is asked again, like one that is late.
            return await retry(
                look, backoff=_PAUSES, clock=self.clock, deadline_s=deadline_s, on=_ASKED_AGAIN
            )
        except (*_ASKED_AGAIN, Undecodable):
            return None

    async def _event(self, position: Position, deadline_s: float) -> Event | None:
        event = self.recent(position)
        if event is not None or self.clock.monotonic_s() < deadline_s - WITHIN_S + _TAIL_WITHIN_S:
            return event
        record = await self.log.read(position)
        return None if record is None else record.event()

    async def _shown(self, viewer: str, event: Event, offset: int) -> bool:
        """Whether the tables hold what this event changes, as far as it concerns the viewer."""
        return all([await self._shows(viewer, change, offset) for change in event.changes()])

    async def _shows(self, viewer: str, change: Change, offset: int) -> bool:
        shown: int | None = None
        match change:
            case PostAdded(author_id, post_id):
                return await self._listed(author_id, post_id)
            case PostChanged(post_id=post_id):
                post = (await self.stores.posts.get([post_id])).get(post_id)
                shown = post.offset if post else None
            case LikeChanged(user_id, post_id):
                # The like is written last, so the count and the liker's list hold it too.
                likes = await self.stores.likes.of_post(post_id, [user_id])
                shown = max((like.offset for like in likes.values()), default=None)
            case UserGone(user_id):
                return (await self.stores.users.get(user_id)).left
            case ViewerGraphChanged(viewer_id, cell, active) if viewer_id == viewer:
                shown = await self._cell_offset(viewer, cell, active=active)
            case ViewerGraphChanged() | NameChanged() | DeliveryChanged():
                return True  # not part of what this viewer reads
            case AwakeningBegun():
                # The user stays asleep until the timeline is filled again: meanwhile the feed is whole by pull.
                return True
            case _:
                assert_never(change)
        return _reached(shown, offset)

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
                follow = (await self.stores.follows.following(viewer)).get(cell.other_id)
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
        follow = (await self.stores.follows.following(follower_id)).get(followee_id)
        if follow is not None:
            return follow.offset
        return followee.count_offset


def _reached(shown: int | None, offset: int) -> bool:
    return shown is not None and shown >= offset
