"""What only the embedded stores can show: time passes when the test says so."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from fanfold.adapters.memory import memory_stores
from fanfold.core.ports import CacheOutage, KeyReservation, Pointer
from fanfold.core.ports.cache_switch import EPOCH_KEPT_S, OFF_S
from fanfold.core.settings import MS_PER_DAY, Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import a_post_id


async def test_pointers_and_pulled_posts_are_gone_a_day_after_the_retention_window() -> None:
    clock = ManualClock()
    stores = memory_stores(Settings(retention_days=2), clock=clock)
    old, new = Pointer(a_post_id(START_MS - MS_PER_DAY), "bob"), Pointer(a_post_id(), "bob")
    assert await stores.timelines.push([old, new], ["alice"]) == 2
    for pointer in (old, new):
        await stores.timelines.add_pulled(pointer)

    async def found() -> tuple[list[Pointer], int]:
        timeline = await stores.timelines.timeline("alice", before=None, since_ms=0, limit=9)
        pulled = await stores.timelines.pulled("bob", before=None, since_ms=0, limit=9)
        pointers = [Pointer(entry.post_id, entry.author_id) for entry in timeline]
        return pointers, len(pulled)

    clock.advance(2 * 86_400 - 0.001)
    assert await found() == ([new, old], 2)
    clock.advance(0.001)
    assert await found() == ([new], 1)
    clock.advance(86_400)
    assert await found() == ([], 0)
    assert await stores.timelines.push([old, new], ["alice"]) == 0


async def test_an_idempotency_key_is_free_again_24_hours_after_its_last_change() -> None:
    clock = ManualClock()
    keys = memory_stores(Settings(), clock=clock).idempotency_keys
    held = KeyReservation(a_post_id(), "b0d1", START_MS)
    await keys.reserve("bob", "k", held)
    clock.advance(3600)
    await keys.answer("bob", "k", held, "{}")
    rival = KeyReservation(a_post_id(), "b0d2", START_MS)
    clock.advance(86_399)
    assert await keys.reserve("bob", "k", rival) == replace(held, answer="{}")
    clock.advance(1)
    assert await keys.reserve("bob", "k", rival) is None


async def test_an_outage_of_the_cache_ends_by_itself_unless_it_is_told_again() -> None:
    clock, epoch = ManualClock(), uuid4()
    switch = memory_stores(Settings(), clock=clock).cache_switch
    for _ in range(3):
        await switch.begin("worker", epoch)
        clock.advance(OFF_S - 1)
        assert await switch.outages() == [CacheOutage("worker", epoch, off=True)]
    clock.advance(1)
    assert await switch.outages() == [CacheOutage("worker", epoch, off=False)]
    clock.advance(EPOCH_KEPT_S - OFF_S - 1)
    assert await switch.outages() == [CacheOutage("worker", epoch, off=False)]
    clock.advance(1)
    assert await switch.outages() == []
