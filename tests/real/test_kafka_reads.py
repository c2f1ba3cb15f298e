"""Reading records by their positions, as a read right after a write does."""

from __future__ import annotations

import asyncio

import pytest

from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from tests.support.engines import RealEngines
from tests.support.logs import a_follow, own_topics
from tests.support.own_time import own_s

pytestmark = pytest.mark.real

READS = 60


async def test_reading_the_newest_record_does_not_wait_for_the_next_one(
    engines: RealEngines,
) -> None:
    async with (
        own_topics(engines) as settings,
        KafkaLog(settings, clock=SystemClock(), source="test") as log,
    ):
        positions = [await log.append(a_follow(of=f"u{n}")) for n in range(READS)]
        kept = [position for position in positions if position is not None]
        assert await log.read(kept[0]) is not None  # connected from here on
        started_s = own_s()
        records = await asyncio.gather(*map(log.read, kept))
        took_s = own_s() - started_s
    assert [record and record.position for record in records] == kept
    # One that waits for an idle broker's answer takes 0.2 s.
    assert took_s < READS * 0.1, f"{took_s / READS:.3f} s a read"
