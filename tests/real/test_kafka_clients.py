"""Kafka clients whose start or stop is cancelled, as at the end of a process or when a start takes too long."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable

import pytest

from fanfold.adapters.kafka.clients import make_producer, started_admin, started_consumer
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines
from tests.support.logs import own_topics

pytestmark = pytest.mark.real

LATEST_S = 0.03
STEPS = 60


async def produce(settings: Settings) -> None:
    while True:
        producer = make_producer(settings)
        try:
            await producer.start()
        finally:
            await producer.stop()


async def consume(settings: Settings) -> None:
    while True:
        async with started_consumer(settings):
            pass


async def administer(settings: Settings) -> None:
    while True:
        async with started_admin(settings):
            pass


@pytest.mark.parametrize("use", [produce, consume, administer])
async def test_a_client_whose_user_is_cancelled_at_any_moment_ends_and_leaves_no_connection(
    engines: RealEngines, use: Callable[[Settings], Awaitable[None]]
) -> None:
    async with own_topics(engines) as settings:
        gc.collect()
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always")
            for step in range(STEPS):
                using = asyncio.ensure_future(use(settings))
                await asyncio.sleep(LATEST_S * step / STEPS)
                using.cancel()
                await asyncio.wait({using}, timeout=30)
                assert using.cancelled(), f"its cancellation after step {step} was lost"
                gc.collect()
        assert [str(warning.message) for warning in left] == []
