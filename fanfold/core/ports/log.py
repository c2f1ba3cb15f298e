"""The log as a port: append, consume in acknowledged batches, tail.

The log is the commit point: an HTTP write is acknowledged when its event is appended, and every table is a projection of the
log. Adapters: `fanfold.adapters.kafka` (real) and `fanfold.adapters.sqlite.log` (embedded), with one contract suite for both.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fanfold.core import events
from fanfold.core.events import Event

_POSITION = re.compile(r"([a-z0-9.-]{1,100})/(0|[1-9][0-9]{0,8})/(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a record. Positions in one partition compare by offset; others don't compare."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """The form of the `Fanfold-Position` header."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position of that text. Raises `ValueError`."""
        found = _POSITION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not topic/partition/offset")
        return cls(found[1], int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class Record:
    """A record. `appended_at_ms` is from the log's own clock (LogAppendTime)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    appended_at_ms: int

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)

    def event(self) -> Event:
        """The decoded event. Raises `Undecodable`."""
        return events.decode(self.headers, self.value)


class Tail(Protocol):
    """A reader without a group that follows topics as they grow."""

    async def read(self) -> Sequence[Record]:
        """The records appended since the last call, in order within a partition.

        Waits up to about 200 ms for a record, then returns none. Raises `Unavailable`.
        """
        ...

    def behind_s(self) -> float:
        """Seconds since this tail last had every record of the log. Grows while the log is unavailable."""
        ...


class EventLog(Protocol):
    """The write side of the log, and its tail."""

    async def append(self, event: Event) -> Position | None:
        """Append one event and return when it is durable (`acks=all`).

        Returns None when the log has the record but can't tell its position (a deduplicated send). Raises
        `Unavailable` within the request timeout; a record that was not sent by then is dropped, not sent later.
        """
        ...

    async def append_many(self, batch: Sequence[Event]) -> None:
        """Append all events, in order within each key. Raises `Unavailable`; then some may have been appended."""
        ...

    async def dead_letter(self, record: Record, reason: str) -> None:
        """Dead-letter a record that can't be handled: keep it raw, with its origin and the reason. Raises `Unavailable`.

        Headers added: `ff_topic`, `ff_partition`, `ff_offset`, `ff_appended_at_ms`, `ff_reason`.
        """
        ...

    async def replay(self, records: Sequence[Record]) -> None:
        """Append dead-lettered records again to their topics, in order within each key.

        They are *new* records with later positions. Value, key and headers are kept, and `ff_replay_of` holds the first
        position of each. Raises `Unavailable`; then some may have been appended.
        """
        ...

    async def read(self, position: Position) -> Record | None:
        """The record of a projected topic at that position; None when the log doesn't hold it. Raises `Unavailable`."""
        ...

    def tail(self, topics: Sequence[str], *, since_ms: int) -> AbstractAsyncContextManager[Tail]:
        """Follow topics from the first record appended at or after that wall-clock time."""
        ...

    def clock_skew_ms(self) -> int | None:
        """This machine's clock minus the log's, at an acknowledgement of the last 10 s; None if none."""
        ...

    async def ping(self) -> None:
        """Return if the log answers and, where that can be known, takes appends. Raises `Unavailable`."""
        ...


BatchHandler = Callable[[Sequence[Record]], Awaitable[None]]
"""Handles a whole batch. Returning acknowledges all of it; raising acknowledges none of it and stops the consumer."""


class Consumer(Protocol):
    """Reads topics in a group, in batches, and acknowledges what its handlers have processed.

    At least once: after a crash, records after the last acknowledgement are read again. Records of one partition arrive in
    order, and a topic's next batch only after its handler has returned.
    """

    async def run(self, handlers: Mapping[str, BatchHandler]) -> None:
        """Consume each topic with its handler until cancelled. Raises what a handler raised."""
        ...
