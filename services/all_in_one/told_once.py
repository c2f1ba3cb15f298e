"""The log as the worker of a rebuild sees it: what it has told already it does not tell again.

The tables of the embedded stack begin empty, so at each start authors cross the threshold, and the follows of those who
left are found, as they were before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.errors import Undecodable
from fanfold.core.events import (
    GRAPH,
    AuthorModeChanged,
    Event,
    UserFollowed,
    UserLeft,
    UserUnfollowed,
)
from fanfold.core.ports.log import EventLog, Position, Record, Tail

_ROWS = 1000
_CROSSING, _LEFT = (each.type_name().encode() for each in (AuthorModeChanged, UserLeft))


class Told:
    """What the log holds of what its worker has appended to the graph: read it in order."""

    def __init__(self) -> None:
        self._crossings: set[UUID] = set()
        self._left: set[str] = set()
        self._ended: set[tuple[str, str]] = set()

    def note(self, record: Record) -> None:
        kind = record.headers.get("ce_type")
        # Decoding is most of the work, and before the first who left there is nothing to decode.
        if not self._left and kind not in (_CROSSING, _LEFT):
            return
        try:
            event = record.event()
        except Undecodable:
            return  # a dead letter, then as now
        match event:
            case AuthorModeChanged(event_id=event_id):
                self._crossings.add(event_id)
            case UserLeft(user_id=user_id):
                self._left.add(user_id)
            case UserUnfollowed(follower_id=follower, followee_id=followee):
                if follower in self._left or followee in self._left:
                    self._ended.add((follower, followee))
            case UserFollowed(follower_id=follower, followee_id=followee):
                self._ended.discard((follower, followee))

    def __contains__(self, event: Event) -> bool:
        match event:
            case AuthorModeChanged(event_id=event_id):
                return event_id in self._crossings
            case UserUnfollowed(follower_id=follower, followee_id=followee):
                return (follower, followee) in self._ended
        return False


class ToldOnce:
    """See `EventLog`; `append_many`, by which the worker tells such things, drops those that were told."""

    def __init__(self, log: EventLog, told: Told) -> None:
        self._log = log
        self._told = told

    async def append(self, event: Event) -> Position | None:
        return await self._log.append(event)

    async def append_many(self, batch: Sequence[Event]) -> None:
        new = [event for event in batch if event not in self._told]
        if new:
            await self._log.append_many(new)

    async def dead_letter(self, record: Record, reason: str) -> None:
        await self._log.dead_letter(record, reason)

    async def replay(self, records: Sequence[Record]) -> None:
        await self._log.replay(records)

    async def read(self, position: Position) -> Record | None:
        return await self._log.read(position)

    def tail(self, topics: Sequence[str], *, since_ms: int) -> AbstractAsyncContextManager[Tail]:
        return self._log.tail(topics, since_ms=since_ms)

    def clock_skew_ms(self) -> int | None:
        return self._log.clock_skew_ms()

    async def ping(self) -> None:
        await self._log.ping()


async def told_once(log: SqliteLog) -> ToldOnce:
    """The log, with what it holds now."""
    told = Told()
    after = 0
    while rows := await log.rows([GRAPH], after=after, limit=_ROWS):
        after = rows[-1].seq
        for row in rows:
            told.note(row.record)
    return ToldOnce(log, told)
