"""The log that the worker of a rebuild appends to: it drops events already emitted before the rebuild.

The tables of the embedded stack start empty and are rebuilt from the log. So at each start the worker sees authors cross the
threshold, and ends the follows of users who left, exactly as before.
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
_CROSSING = AuthorModeChanged.type_name().encode()
_LEFT = UserLeft.type_name().encode()


class EmittedEvents:
    """The events of the graph topic that the worker itself has emitted. Built from the records in order."""

    def __init__(self) -> None:
        self._crossings: set[UUID] = set()
        self._left: set[str] = set()
        self._ended: set[tuple[str, str]] = set()

    def add(self, record: Record) -> None:
        kind = record.headers.get("ce_type")
        # Decoding is most of the work; before the first user leaves, only crossings need it.
        if not self._left and kind not in (_CROSSING, _LEFT):
            return
        try:
            event = record.event()
        except Undecodable:
            return  # the worker dead-letters it
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


class RebuildLog:
    """See `EventLog`. `append_many`, by which the worker emits such events, drops those already emitted."""

    def __init__(self, log: EventLog, emitted: EmittedEvents) -> None:
        self._log = log
        self._emitted = emitted

    async def append(self, event: Event) -> Position | None:
        return await self._log.append(event)

    async def append_many(self, batch: Sequence[Event]) -> None:
        new = [event for event in batch if event not in self._emitted]
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


async def rebuild_log(log: SqliteLog) -> RebuildLog:
    """Read which events the log holds now, and wrap it."""
    emitted = EmittedEvents()
    after = 0
    while rows := await log.rows([GRAPH], after=after, limit=_ROWS):
        after = rows[-1].seq
        for row in rows:
            emitted.add(row.record)
    return RebuildLog(log, emitted)
