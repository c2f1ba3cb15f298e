"""Building tables from the log, up to ends that are fixed at the start, without Faust and without the workers' group.

Topics are handled one after the other, follows before posts, so each post is fanned out once, to those who follow its author in the end. Within a topic
partitions are handled side by side, each in order and in batches of one size. So what is written does not depend on how many
are handled at a time.

Commands of the fan-out are executed at once, and nothing is appended to the log: what workers appended the first time is in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from fanfold.core.clock import Clock
from fanfold.core.errors import FanfoldError, Fault
from fanfold.core.events import (
    ACTIVITY,
    COMMANDS,
    ENGAGEMENT,
    GRAPH,
    POSTS,
    TIES,
    BackfillFollow,
    DeliverSlice,
    Event,
    MaterialiseTimeline,
    encode,
)
from fanfold.core.ports import Stores
from fanfold.core.ports.log import BatchHandler, Position, Record, Tail
from fanfold.core.ports.log_view import Span
from fanfold.core.settings import Settings
from fanout_service.worker import Worker

ORDER = (GRAPH, TIES, ACTIVITY, POSTS, ENGAGEMENT)

BATCH = 200

_EXECUTED = (DeliverSlice, BackfillFollow, MaterialiseTimeline)


class History(Protocol):
    """The log's records, partition by partition. Every method raises `Unavailable`."""

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """The partitions of a topic, each with its first record and its end now."""
        ...

    def batches(
        self, topic: str, partition: int, span: Span, *, size: int
    ) -> AsyncIterator[Sequence[Record]]:
        """The records of a span in order, in batches of this size; the last may be smaller."""
        ...


@dataclass(slots=True)
class Replayed:
    """The counts of a replay. `dead` are records that could not be handled; the log has their dead letters already."""

    total: int | None = None
    records: int = 0
    dead: int = 0

    @property
    def done(self) -> int:
        return self.records

    def describe(self) -> str:
        dead = f", {self.dead:,} of them can't be handled" if self.dead else ""
        return f"{self.records:,} of {self.total or 0:,} records{dead}"


@dataclass(slots=True)
class Unlogged:
    """How many rows were copied of what the log does not hold."""

    rows: int = 0

    def describe(self) -> str:
        return f"{self.rows:,} rows that the log does not hold"


@dataclass(slots=True)
class _Commands:
    """The log as a replaying worker sees it: it keeps the commands to execute, and drops what the log holds already."""

    replayed: Replayed
    waiting: deque[Event] = field(default_factory=deque)

    async def append(self, event: Event) -> Position | None:
        await self.append_many([event])
        return None

    async def append_many(self, batch: Sequence[Event]) -> None:
        self.waiting.extend(event for event in batch if isinstance(event, _EXECUTED))

    async def dead_letter(self, record: Record, reason: str) -> None:
        del record, reason
        self.replayed.dead += 1

    async def replay(self, records: Sequence[Record]) -> None:
        raise Fault("a replay appends nothing")

    async def read(self, position: Position) -> Record | None:
        raise Fault(f"a replay reads its topics in order, not {position}")

    def tail(self, topics: Sequence[str], *, since_ms: int) -> AbstractAsyncContextManager[Tail]:
        raise Fault(f"a replay ends: it does not follow {topics} from {since_ms}")

    def clock_skew_ms(self) -> int | None:
        return None

    async def ping(self) -> None:
        """Nothing is appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Builds the tables behind `stores`. `workers`: how many partitions are handled at a time."""

    history: History
    stores: Stores
    settings: Settings
    clock: Clock
    workers: int
    show: Callable[[Replayed], None]

    async def run(self, replayed: Replayed) -> None:
        """Handle everything up to the ends of now. Idempotent. Raises `Unavailable`, or `Fault` when workers would stop, too."""
        spans = {topic: await self.history.spans(topic) for topic in ORDER}
        replayed.total = sum(
            span.end - span.first for of_topic in spans.values() for span in of_topic.values()
        )
        for topic in ORDER:
            try:
                await self._topic(topic, spans[topic], replayed)
            except* FanfoldError as group:
                raise group.exceptions[0] from group

    async def _topic(self, topic: str, spans: Mapping[int, Span], replayed: Replayed) -> None:
        turns = asyncio.Semaphore(self.workers)
        async with asyncio.TaskGroup() as tasks:
            for partition, span in spans.items():
                if span.first < span.end:
                    tasks.create_task(self._partition(topic, partition, span, replayed, turns))

    async def _partition(
        self,
        topic: str,
        partition: int,
        span: Span,
        replayed: Replayed,
        turns: asyncio.Semaphore,
    ) -> None:
        async with turns:
            commands = _Commands(replayed)
            worker = Worker(
                self.settings,
                log=commands,
                stores=self.stores,
                clock=self.clock,
                # All of it was processed before: follows across a block were ended then.
                history_until_ms=self.clock.now_ms(),
            )
            handlers = worker.handlers()
            async for batch in self.history.batches(topic, partition, span, size=BATCH):
                await handlers[topic](batch)
                await self._execute(commands, handlers[COMMANDS])
                replayed.records += len(batch)
                self.show(replayed)

    async def _execute(self, commands: _Commands, handle: BatchHandler) -> None:
        """Execute what the batch has queued, and what that queues."""
        while commands.waiting:
            events = [commands.waiting.popleft() for _ in range(min(BATCH, len(commands.waiting)))]
            await handle([self._record(event) for event in events])

    def _record(self, event: Event) -> Record:
        now_ms = self.clock.now_ms()
        topic, key, value, headers = encode(event, source="fanfold/replay", now_ms=now_ms)
        return Record(topic, 0, 0, key, value, dict(headers), now_ms)
