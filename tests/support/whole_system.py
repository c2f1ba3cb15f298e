"""The whole embedded system driven by hand: a log, tables, a shared cache, workers that die and workers that come back late, and one reading process."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.shared_cache import Kept, MemoryCacheServer, MemorySharedCache
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.telling_stores import telling
from fanfold.core.events import GRAPH, PROJECTED_TOPICS, AuthorModeChanged
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.audit.command import Chosen, audit_once
from fanout_service.worker import Worker
from feed_service.caches.cache import SHARED_S
from tests.support.clock import ManualClock
from tests.support.crashes import Killed, Life, Mortal, mortal
from tests.support.fanout import Pipeline
from tests.support.feed import FaultyStore, Reader
from tests.support.oracle import Oracle, Shown


@dataclass
class WholeSystem(Pipeline):
    """A pipeline whose workers tell a shared cache, through which a process reads.

    `memory` is what the reading process keeps, as in production. `away`: whether the cache is, for workers alone.
    """

    server: MemoryCacheServer = field(default_factory=MemoryCacheServer)
    snapshot: Mapping[str, Kept] = field(default_factory=dict)
    away: bool = False
    old_workers: list[Worker] = field(default_factory=list)
    _names: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.epoch = CacheEpoch(self.stores.cache_switch, clock=self.clock)
        self.cache = MemorySharedCache(
            self.settings, clock=self.clock, epoch=self.epoch, server=self.server
        )
        self.engines = Engines(self.log, self.stores, self.cache, self.epoch)
        self.current = self.worker()
        self.begin_reading()

    def begin_reading(self) -> None:
        """A new reading process, which remembers nothing."""
        world: Any = SimpleNamespace(
            settings=self.settings, clock=self.clock, stores=self.stores, cache=self.cache
        )
        self.reader = Reader(world, listed_likes=2, kept_s=SHARED_S)

    def worker(self, life: Life | None = None) -> Worker:
        """A new worker. With a life it also dies between a row and telling the cache of it."""
        told: Any = FaultyStore(self.cache)
        told.away = {"forget", "push"} if self.away else set()
        stores, log = self.stores, self.log
        if life is not None:
            stores, log = mortal(stores, life), Mortal(log, life)  # type: ignore[assignment]
            told = _MortalCache(told, life)
        tables = telling(stores, told, writer_id=f"worker-{next(self._names)}", clock=self.clock)
        # Events are dated at the append, or by a clock that was ahead.
        settings = self.settings.model_copy(update={"max_clock_skew_s": 60})
        return Worker(settings, log=log, stores=tables, clock=self.clock)

    def restart(self) -> None:
        """Another worker takes over. The one before may still be there, and come back late."""
        self.old_workers = [*self.old_workers, self.current][-3:]
        self.current = self.worker()

    async def take(self, topic: str, *, limit: int, redelivers: int, writes: int | None) -> None:
        """Handle a batch, of which the last records come again; or die in it, after so many writes."""
        if writes is None:
            await self.step(self.current, topic, limit=limit, redelivers=redelivers)
            return
        try:
            await self.step(self.worker(Life(writes)), topic, limit=limit)
        except Killed:
            self.restart()

    async def come_back(self, worker: Worker, topic: str, *, after: int, limit: int) -> None:
        """A worker that has lost its partitions handles an old batch, and acknowledges nothing."""
        rows = await self.log.rows([topic], after=after, limit=limit)
        rows = [row for row in rows if row.seq <= self.acknowledged[topic]]
        if rows:
            await worker.handlers()[topic]([row.record for row in rows])

    async def quiet(self) -> None:
        """Everything is handled, and every reader has seen it: an outage of the cache is over, and what is in memory is old."""
        self.away = False
        self.current = self.worker()
        await self.drain(self.current)
        self.clock.advance(1.1)
        await self.epoch.read()

    async def oracle(self) -> Oracle:
        rows = await self.log.rows(PROJECTED_TOPICS, after=0, limit=1_000_000)
        oracle = Oracle(self.settings.pull_threshold, self.settings.pull_hysteresis)
        return oracle.fold(
            (r.topic, r.partition, r.offset, r.headers["ce_type"].decode(), r.value or b"")
            for r in (row.record for row in rows)
        )

    async def shown(self, viewer: str, limits: Sequence[int]) -> list[Shown]:
        return [
            Shown(
                str(item.post_id),
                item.author,
                item.content,
                item.edited_at is not None,
                item.like_count,
                item.liked_by_me,
            )
            for item in await self.reader.whole(viewer, limits=limits)
        ]

    async def audited(self) -> None:
        """Every feed and every cached value agrees with the tables."""
        report = await audit_once(
            self.engines, self.settings, Chosen(everyone=True), clock=self.clock
        )
        assert report.wrong_users == 0 == report.late, report.as_json()

    async def crossings(self) -> list[AuthorModeChanged]:
        rows = await self.log.rows([GRAPH], after=0, limit=1_000_000)
        events = (row.record.event() for row in rows)
        return [event for event in events if isinstance(event, AuthorModeChanged)]


class _MortalCache:
    """A cache that is told by a worker which may be dead by then."""

    def __init__(self, cache: Any, life: Life) -> None:
        self._cache = cache
        self._life = life

    async def forget(self, keys: Sequence[str]) -> None:
        self._life.spend()
        await self._cache.forget(keys)

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        self._life.spend()
        await self._cache.push(entries, user_ids)


@asynccontextmanager
async def a_whole_system(settings: Settings) -> AsyncIterator[WholeSystem]:
    clock = ManualClock(autojump=True)
    async with SqliteLog(Path(":memory:"), clock=clock, source="test") as log:
        system = WholeSystem(settings, clock, log, memory_stores(settings, clock=clock))
        try:
            yield system
        finally:
            await system.reader.presence.close()
            await system.reader.reads.close()
