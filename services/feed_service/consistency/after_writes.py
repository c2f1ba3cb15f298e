"""Reading one's own writes: waiting, briefly, until the tables show the events at given positions of the log.

A token names an event, so it is the event that says which row to look at, and the row that says whether it is there:
no reader waits for anyone else's writes, nor for a fan-out. A post is seen as soon as it is stored, because the read
then pulls its author instead of waiting for the timeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
    PostCreated,
    UserGone,
    ViewerCell,
    ViewerGraphChanged,
)
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog, Position

WITHIN_S = 1.0
"""Longest wait for all positions of a request together."""

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.1
_TOLD_WITHIN_S = 0.05  # by the tail; only then is the log asked, which reads one record at a time

Apply = Callable[[Event, int], None]
Recent = Callable[[Position], Event | None]


class Awaited(NamedTuple):
    """What became of the positions of a request: authors to pull for this read, and whether all of them are seen."""

    authors: frozenset[str]
    behind: bool


NOTHING_AWAITED = Awaited(frozenset(), behind=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterWrites:
    """Waits until the tables show events. `apply` tells the caches, as the tail of the log would; `recent` are those it told."""

    log: EventLog
    stores: Stores
    clock: Clock
    apply: Apply
    recent: Recent

    async def __call__(self, viewer: str, positions: Sequence[Position]) -> Awaited:
        """Return when what concerns this viewer is in the tables, or after a second."""
        if not positions:
            return NOTHING_AWAITED
        gives_up_at_s = self.clock.monotonic_s() + WITHIN_S
        seen = await asyncio.gather(
            *(self._seen(viewer, position, gives_up_at_s) for position in positions)
        )
        authors = frozenset(each.author_id for each in seen if isinstance(each, PostCreated))
        return Awaited(authors, behind=None in seen)

    async def _seen(self, viewer: str, position: Position, gives_up_at_s: float) -> Event | None:
        """The event once the tables show it; None when they don't in time, or the log has no such event."""
        if position.topic not in PROJECTED_TOPICS:
            return None
        pause_s = _FIRST_PAUSE_S
        event: Event | None = None
        while True:
            try:
                async with asyncio.timeout(max(0.0, gives_up_at_s - self.clock.monotonic_s())):
                    event = event or await self._event(position, gives_up_at_s)
                    if event is not None and await self._shown(viewer, event, position.offset):
                        # From here on nothing older is cached: a load that began before is known to be old.
                        self.apply(event, position.offset)
                        return event
            except (TimeoutError, Transient):
                pass  # an engine that is away for a moment is asked again, like one that is late
            except Undecodable:
                return None
            if self.clock.monotonic_s() + pause_s >= gives_up_at_s:
                return None
            await self.clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _event(self, position: Position, gives_up_at_s: float) -> Event | None:
        told = self.recent(position)
        if told is not None or self.clock.monotonic_s() < gives_up_at_s - WITHIN_S + _TOLD_WITHIN_S:
            return told
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
                mute = (await self.stores.ties.mutes(viewer)).get(cell.other_id)
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
