"""When a worker tells the shared cache, when it tells the tables of an outage instead, and when it must not return."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.telling_stores import keep_outage, stores_of_worker, telling
from fanfold.core.cache_keys import name_key
from fanfold.core.errors import TablesUnavailable, Unavailable
from fanfold.core.ports import CacheOutage, CacheSwitch, Stores
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.cache_switch import OFF_S
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock

ALICE, BOB = name_key("alice"), name_key("bob")


@dataclass
class Cache(NoSharedCache):
    """A cache that can be away, and whose answers can be held back; notes each attempt, and what it forgot."""

    away: bool = False
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    forgot: list[str] = field(default_factory=list)

    async def forget(self, keys: Sequence[str]) -> None:
        self.attempts += 1
        if self.away:
            raise Unavailable("the cache is away")
        await self.answering.wait()
        self.forgot += keys


@dataclass
class Switch:
    """A switch that can be away, and whose answers can be held back."""

    switch: CacheSwitch
    away: bool = False
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    began: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        if self.away:
            raise TablesUnavailable("the tables are away")
        self.began.append(epoch)
        await self.switch.begin(writer_id, epoch)
        await self.answering.wait()

    async def end(self, writer_id: str, epoch: UUID) -> None:
        if self.away:
            raise TablesUnavailable("the tables are away")
        self.ended.append(epoch)
        await self.switch.end(writer_id, epoch)
        await self.answering.wait()

    async def outages(self) -> Sequence[CacheOutage]:
        return await self.switch.outages()


class Worker:
    """Stores that tell, over parts that a test can take away."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cache = Cache()
        self.cache.answering.set()
        self.tables = memory_stores(Settings(), clock=self.clock)
        self.switch = Switch(self.tables.cache_switch)
        self.switch.answering.set()
        stores = replace(self.tables, cache_switch=self.switch)
        self.stores: Stores = telling(stores, self.cache, writer_id="worker", clock=self.clock)
        self._offset = 0

    async def rename(self, user_id: str = "alice") -> None:
        self._offset += 1
        await self.stores.users.register(
            user_id, f"name {self._offset}", registered_at_ms=START_MS, offset=self._offset
        )

    async def off(self) -> bool:
        return any(outage.off for outage in await self.switch.outages())


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def test_a_write_forgets_what_it_may_have_made_old_and_tells_no_outage(
    worker: Worker,
) -> None:
    await worker.rename()
    assert worker.cache.forgot == [ALICE]
    assert worker.switch.began == []


async def test_a_write_that_the_tables_refuse_tells_nothing(worker: Worker) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise TablesUnavailable("the tables are away")

    users: Any = worker.tables.users
    users.register = refuse
    with pytest.raises(Unavailable):
        await telling(
            worker.tables, worker.cache, writer_id="worker", clock=worker.clock
        ).users.register("alice", "A", registered_at_ms=START_MS, offset=1)
    assert worker.cache.attempts == 0


async def test_a_write_returns_once_the_outage_is_told(worker: Worker) -> None:
    worker.cache.away = True
    worker.switch.answering.clear()
    first, second = (asyncio.create_task(worker.rename(user)) for user in ("alice", "bob"))
    for _ in range(9):
        await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    worker.switch.answering.set()
    await asyncio.gather(first, second)
    assert len(worker.switch.began) == 1, "both rely on one outage"
    assert await worker.off()


async def test_a_write_that_can_tell_neither_raises_and_the_next_outage_is_another(
    worker: Worker,
) -> None:
    worker.cache.away = worker.switch.away = True
    with pytest.raises(TablesUnavailable):
        await worker.rename()
    with pytest.raises(TablesUnavailable):
        await worker.rename()
    worker.switch.away = False
    await worker.rename()
    assert await worker.off()


async def test_all_writes_that_wait_for_an_outage_raise_if_it_cannot_be_told(
    worker: Worker,
) -> None:
    worker.cache.away = worker.switch.away = True
    answers = await asyncio.gather(
        *(worker.rename(user) for user in ("alice", "bob", "carl")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [TablesUnavailable] * 3


async def test_a_cache_that_is_away_is_tried_twice_a_second_however_many_writes_there_are(
    worker: Worker,
) -> None:
    worker.cache.away = True
    for _ in range(100):
        await worker.rename()
        worker.clock.advance(0.02)
    assert 4 <= worker.cache.attempts <= 5
    assert len(worker.switch.began) == 1


async def test_a_lasting_outage_is_told_again_with_its_epoch_and_stays_off(worker: Worker) -> None:
    worker.cache.away = True
    for _ in range(20):
        await worker.rename()
        assert await worker.off()
        worker.clock.advance(9)
        assert await worker.off()
    assert 7 <= len(worker.switch.began) <= 10
    assert len(set(worker.switch.began)) == 1


async def test_an_outage_that_could_not_be_told_again_is_not_relied_on(worker: Worker) -> None:
    worker.cache.away = True
    await worker.rename()
    worker.clock.advance(OFF_S / 2)
    worker.switch.away = True
    with pytest.raises(TablesUnavailable):
        await worker.rename()
    worker.switch.away = False
    await worker.rename()
    assert len(set(worker.switch.began)) == 2


async def test_after_a_pause_in_which_an_outage_may_have_ended_there_is_another(
    worker: Worker,
) -> None:
    worker.cache.away = True
    await worker.rename()
    worker.clock.advance(OFF_S)
    assert not await worker.off()
    await worker.rename()
    assert len(set(worker.switch.began)) == 2
    assert await worker.off()


async def test_the_first_success_ends_the_outage_and_the_next_failure_begins_another(
    worker: Worker,
) -> None:
    worker.cache.away = True
    await worker.rename()
    worker.cache.away = False
    await worker.rename("bob")
    assert await worker.off(), "not tried again so soon"
    worker.clock.advance(0.5)
    await worker.rename()
    assert worker.cache.forgot == [ALICE]
    assert not await worker.off()
    worker.cache.away = True
    await worker.rename()
    assert await worker.off()
    assert worker.switch.ended == worker.switch.began[:1]
    assert len(set(worker.switch.began)) == 2


async def test_an_answer_to_what_was_asked_before_an_outage_does_not_end_it(
    worker: Worker,
) -> None:
    worker.cache.answering.clear()
    slow = asyncio.create_task(worker.rename("alice"))
    await asyncio.sleep(0)
    worker.cache.away = True
    await worker.rename("bob")
    worker.cache.answering.set()
    await slow
    assert worker.cache.forgot == [ALICE]
    assert await worker.off()


async def test_a_write_tells_the_cache_itself_while_the_end_of_an_outage_is_under_way(
    worker: Worker,
) -> None:
    """Readers may already see the end, and fill what the write makes old."""
    worker.cache.away = True
    await worker.rename()
    worker.cache.away = False
    worker.clock.advance(0.5)
    worker.switch.answering.clear()
    ending = asyncio.create_task(worker.rename("alice"))
    for _ in range(9):
        await asyncio.sleep(0)
    assert not ending.done()
    assert not await worker.off()
    await worker.rename("bob")
    assert worker.cache.forgot == [ALICE, BOB]
    worker.switch.answering.set()
    await ending


async def test_an_outage_whose_end_cannot_be_told_ends_by_itself(worker: Worker) -> None:
    worker.cache.away = True
    await worker.rename()
    worker.cache.away, worker.switch.away = False, True
    worker.clock.advance(1)
    await worker.rename()
    await worker.rename("bob")
    assert worker.cache.forgot == [ALICE, BOB]
    assert await worker.off()
    worker.clock.advance(OFF_S)
    assert not await worker.off()


async def test_without_a_cache_a_worker_has_the_stores_themselves() -> None:
    stores = memory_stores(Settings(), clock=(clock := ManualClock()))
    log: Any = None
    engines = Engines(log, stores)
    assert stores_of_worker(engines, name="worker-0", clock=clock) is stores


async def test_each_process_of_a_worker_is_another_writer() -> None:
    tables = memory_stores(Settings(), clock=(clock := ManualClock()))
    log: Any = None
    engines = Engines(log, tables, Cache(away=True), CacheEpoch(tables.cache_switch, clock=clock))
    for name in ("worker-0", "worker-0", None):
        stores = stores_of_worker(engines, name=name, clock=clock)
        await stores.users.register("alice", "Alice", registered_at_ms=START_MS, offset=1)
    outages = await tables.cache_switch.outages()
    assert [outage.off for outage in outages] == [True] * 3
    assert sum(outage.writer_id.startswith("worker-0/") for outage in outages) == 2


async def test_while_a_worker_without_a_cache_runs_no_feed_process_uses_one() -> None:
    clock = ManualClock()
    switch = Switch(memory_stores(Settings(), clock=clock).cache_switch)
    switch.answering.set()
    told = asyncio.Event()
    running = asyncio.create_task(keep_outage(switch, writer_id="worker-0", clock=clock, told=told))

    async def pass_time(seconds: float) -> bool:
        """Whether it is off all the time."""
        off = True
        for _ in range(int(seconds)):
            for _ in range(3):
                await asyncio.sleep(0)
            off = off and any(outage.off for outage in await switch.outages())
            clock.advance(1)
        return off

    assert await pass_time(10 * OFF_S)
    assert len(set(switch.began)) == len(switch.began) == 30
    switch.away = True
    assert not await pass_time(3 * OFF_S), "the tables are away: nothing is written either"
    switch.away = False
    await pass_time(2)
    assert await pass_time(2 * OFF_S)
    running.cancel()
    await asyncio.wait([running])
    await pass_time(OFF_S)
    assert not await pass_time(1)


async def test_a_worker_without_a_cache_writes_nothing_before_its_outage_is_told() -> None:
    clock, told = ManualClock(), asyncio.Event()
    switch = Switch(memory_stores(Settings(), clock=clock).cache_switch, away=True)
    switch.answering.set()
    running = asyncio.create_task(keep_outage(switch, writer_id="worker-0", clock=clock, told=told))
    for away in (True, True, False):
        switch.away = away
        clock.advance(1)
        for _ in range(3):
            await asyncio.sleep(0)
        assert told.is_set() is not away
    running.cancel()
    await asyncio.wait([running])
