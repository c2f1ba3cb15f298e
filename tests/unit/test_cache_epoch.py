"""When a reader may trust the shared cache, and in which epoch."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from fanfold.adapters.cassandra.cache_switch import CassandraCacheSwitch
from fanfold.adapters.stacks import real
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.cache_switch import CacheOutage
from fanfold.core.settings import Settings
from tests.support.clock import ManualClock

ONE, TWO = uuid4(), uuid4()


class Switch:
    def __init__(self, clock: ManualClock) -> None:
        self.told: list[CacheOutage] = []
        self.away = False
        self.takes_s = 0.0
        self._clock = clock

    async def outages(self) -> list[CacheOutage]:
        if self.away:
            raise Unavailable("the tables are away")
        told = list(self.told)
        self._clock.advance(self.takes_s)
        return told

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        raise AssertionError("readers tell nothing")

    async def end(self, writer_id: str, epoch: UUID) -> None:
        raise AssertionError("readers tell nothing")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def switch(clock: ManualClock) -> Switch:
    return Switch(clock)


@pytest.fixture
def epoch(switch: Switch, clock: ManualClock) -> CacheEpoch:
    return CacheEpoch(switch, clock=clock)


async def test_the_epoch_is_unknown_before_the_first_read(epoch: CacheEpoch) -> None:
    assert epoch() is None
    await epoch.read()
    assert epoch() is not None


async def test_each_outage_makes_another_epoch(epoch: CacheEpoch, switch: Switch) -> None:
    seen = []
    for told in ([], [ONE], [TWO], [ONE, TWO], [TWO, ONE]):
        switch.told = [CacheOutage(f"worker-{n}", one, off=False) for n, one in enumerate(told)]
        await epoch.read()
        seen.append(epoch())
    assert None not in seen
    assert len(set(seen)) == len(seen)


async def test_readers_of_other_tables_have_another_epoch(
    switch: Switch, clock: ManualClock
) -> None:
    seen = []
    for keyspace in ("fanfold", "fanfold2", "fanfold"):
        epoch = CacheEpoch(switch, clock=clock, tables=keyspace)
        await epoch.read()
        seen.append(epoch())
    assert None not in seen
    assert seen[0] == seen[2] != seen[1]


async def test_readers_with_another_retention_window_have_another_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An author's newest posts are kept without those that are too old for the reading process. Others would miss these."""

    async def none(_: CassandraCacheSwitch) -> list[CacheOutage]:
        return []

    monkeypatch.setattr(CassandraCacheSwitch, "outages", none)
    seen = []
    for days in (1, 30, 1):
        settings = Settings(cache="redis://127.0.0.1:1", retention_days=days)
        async with real(settings, clock=SystemClock(), source="test") as engines:
            assert engines.cache_epoch is not None
            await engines.cache_epoch.read()
            seen.append(engines.cache_epoch())
    assert None not in seen
    assert seen[0] == seen[2] != seen[1]


async def test_the_epoch_is_unknown_while_an_outage_is_off(
    epoch: CacheEpoch, switch: Switch
) -> None:
    switch.told = [CacheOutage("a", ONE, off=False), CacheOutage("b", TWO, off=True)]
    await epoch.read()
    assert epoch() is None


async def test_the_epoch_is_unknown_a_second_after_the_last_read_began(
    epoch: CacheEpoch, switch: Switch, clock: ManualClock
) -> None:
    switch.takes_s = 0.4
    await epoch.read()
    clock.advance(0.6)
    assert epoch() is not None
    clock.advance(0.01)
    assert epoch() is None


async def test_the_outages_are_read_twice_a_second_also_after_a_failure(
    epoch: CacheEpoch, switch: Switch, clock: ManualClock
) -> None:
    switch.away = True
    watching = asyncio.create_task(epoch.watch())
    await asyncio.sleep(0)
    assert epoch() is None
    switch.away = False
    clock.advance(0.5)
    await asyncio.sleep(0.001)
    assert epoch() is not None
    assert clock.slept_s == [0.5, 0.5]
    watching.cancel()


async def test_a_slow_answer_is_part_of_the_half_second(
    epoch: CacheEpoch, switch: Switch, clock: ManualClock
) -> None:
    """In a busy process each answer takes long; with a pause after it the one before would be too old."""
    switch.takes_s = 0.4
    watching = asyncio.create_task(epoch.watch())
    await asyncio.sleep(0)
    clock.advance(0.1)
    await asyncio.sleep(0.001)
    assert clock.slept_s == pytest.approx([0.1, 0.1])
    watching.cancel()
