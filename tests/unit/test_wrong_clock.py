"""A process whose clock is ten minutes off, either way: what it writes and reads is what the log's times say."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.core.events import PROJECTED_TOPICS, UserLeft
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanout_service.worker import Worker
from tests.support.clock import START_MS, ManualClock
from tests.support.fanout import SMALL, Pipeline, a_follow, a_pipeline, a_post, at
from tests.support.feed import Reader
from tests.support.oracle import Oracle

OFF_MS = 10 * 60 * 1000
SETTINGS = SMALL.model_copy(update={"overlap_s": 0})
FANS = ("bob", "carl", "dave")


class WrongClock(ManualClock):
    """It goes with another one, and is ten minutes off."""

    def __init__(self, right: ManualClock, off_ms: int) -> None:
        super().__init__()
        self._right, self._off_ms = right, off_ms

    def now_ms(self) -> int:
        return self._right.now_ms() + self._off_ms

    def monotonic_s(self) -> float:
        return self._right.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        await self._right.sleep(seconds)


def reader_of(pipeline: Pipeline, clock: ManualClock) -> Reader:
    class World:
        settings, stores, cache = SETTINGS, pipeline.stores, NoSharedCache()

    world: Any = World()
    world.clock = clock
    return Reader(world)


async def feeds_are_the_oracles(pipeline: Pipeline, reader: Reader) -> None:
    rows = await pipeline.log.rows(PROJECTED_TOPICS, after=0, limit=1_000)
    oracle = Oracle().fold(
        (r.topic, r.partition, r.offset, r.headers["ce_type"].decode(), r.value or b"")
        for r in (row.record for row in rows)
    )
    for fan in FANS:
        shown = [str(item.post_id) for item in await reader.whole(fan)]
        assert shown == [post.post_id for post in oracle.feed(fan)]


async def story(pipeline: Pipeline, worker: Worker, reader: Reader) -> None:
    """An author becomes pulled while feeds are read, and another one leaves."""
    await pipeline.append(*(a_follow(fan, "zoe") for fan in FANS[:2]), a_post(by="zoe"))
    await pipeline.append(a_follow("bob", "alice"), a_post(by="alice"))
    await pipeline.drain(worker)
    await feeds_are_the_oracles(pipeline, reader)
    pipeline.clock.advance(5)
    await pipeline.append(a_follow("carl"), a_follow("dave"))
    await pipeline.drain(worker)
    await pipeline.append(a_post(by="alice"), UserLeft(user_id="zoe", left_at=at(START_MS)))
    await pipeline.drain(worker)
    pipeline.clock.advance(5)
    await feeds_are_the_oracles(pipeline, reader)
    assert await pipeline.pulled("alice"), "the author is pulled"
    assert await pipeline.dead_letters() == []
    assert await pipeline.followers("zoe") == []


@pytest.mark.parametrize("off_ms", [OFF_MS, -OFF_MS])
async def test_a_worker_whose_clock_is_ten_minutes_off_makes_no_feed_wrong(off_ms: int) -> None:
    async with a_pipeline(SETTINGS) as pipeline:
        wrong = WrongClock(pipeline.clock, off_ms)
        settings = SETTINGS.model_copy(update={"max_clock_skew_s": 60})
        worker = Worker(settings, log=pipeline.log, stores=pipeline.stores, clock=wrong)
        reader = reader_of(pipeline, pipeline.clock)
        try:
            await story(pipeline, worker, reader)
        finally:
            await reader.presence.close()
            await reader.reads.close()


@pytest.mark.parametrize("off_ms", [OFF_MS, -OFF_MS])
async def test_a_feed_process_whose_clock_is_ten_minutes_off_shows_every_post(off_ms: int) -> None:
    async with a_pipeline(SETTINGS) as pipeline:
        reader = reader_of(pipeline, WrongClock(pipeline.clock, off_ms))
        try:
            await story(pipeline, pipeline.worker(), reader)
        finally:
            await reader.presence.close()
            await reader.reads.close()
