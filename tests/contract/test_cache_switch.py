"""Outages of the shared cache: what a writer tells is what every reader finds."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest

from fanfold.core.ports import CacheOutage, Stores
from tests.support.clock import ManualClock
from tests.support.stores import fresh, stores_of_each_adapter

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def told_by(stores: Stores, *writer_ids: str) -> Sequence[CacheOutage]:
    """Other tests have writers of their own in the same table."""
    return [
        outage for outage in await stores.cache_switch.outages() if outage.writer_id in writer_ids
    ]


async def test_an_outage_is_off_from_its_begin_to_its_end_and_its_epoch_stays(
    stores: Stores,
) -> None:
    writer, first, second = fresh("worker"), uuid4(), uuid4()
    assert await told_by(stores, writer) == []
    await stores.cache_switch.begin(writer, first)
    assert await told_by(stores, writer) == [CacheOutage(writer, first, off=True)]
    await stores.cache_switch.end(writer, first)
    assert await told_by(stores, writer) == [CacheOutage(writer, first, off=False)]
    await stores.cache_switch.begin(writer, second)
    assert await told_by(stores, writer) == [CacheOutage(writer, second, off=True)]


async def test_an_outage_is_told_again_with_the_same_epoch(stores: Stores) -> None:
    writer, epoch = fresh("worker"), uuid4()
    for _ in range(3):
        await stores.cache_switch.begin(writer, epoch)
        assert await told_by(stores, writer) == [CacheOutage(writer, epoch, off=True)]
    for _ in range(2):
        await stores.cache_switch.end(writer, epoch)
        assert await told_by(stores, writer) == [CacheOutage(writer, epoch, off=False)]


async def test_the_late_end_of_an_outage_leaves_the_next_one_off(stores: Stores) -> None:
    writer, first, second = fresh("worker"), uuid4(), uuid4()
    await stores.cache_switch.begin(writer, first)
    await stores.cache_switch.begin(writer, second)
    await stores.cache_switch.end(writer, first)
    assert await told_by(stores, writer) == [CacheOutage(writer, second, off=True)]
    await stores.cache_switch.end(writer, second)
    assert await told_by(stores, writer) == [CacheOutage(writer, second, off=False)]


async def test_calls_take_effect_in_their_order_when_the_clock_goes_back(
    stores: Stores, clock: ManualClock
) -> None:
    writer, first, second = fresh("worker"), uuid4(), uuid4()
    await stores.cache_switch.begin(writer, first)
    clock.advance(-5)
    await stores.cache_switch.begin(writer, second)
    assert await told_by(stores, writer) == [CacheOutage(writer, second, off=True)]


async def test_each_writer_has_its_own_outage_and_they_are_in_order(stores: Stores) -> None:
    writers = [fresh("worker") for _ in range(4)]
    epochs = {writer: uuid4() for writer in writers}
    for writer in reversed(writers):
        await stores.cache_switch.begin(writer, epochs[writer])
    await stores.cache_switch.end(writers[1], epochs[writers[1]])
    assert await told_by(stores, *writers) == [
        CacheOutage(writer, epochs[writer], off=writer != writers[1]) for writer in sorted(writers)
    ]


async def test_the_end_of_an_outage_that_was_never_told_is_none(stores: Stores) -> None:
    writer = fresh("worker")
    await stores.cache_switch.end(writer, uuid4())
    assert await told_by(stores, writer) == []
