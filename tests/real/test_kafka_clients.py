"""Kafka clients whose start is cancelled, as at the end of a process or when a start takes too long."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from fanfold.adapters.kafka.clients import make_producer, started_admin, started_consumer
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines
from tests.support.logs import own_topics

pytestmark = pytest.mark.real

LATEST_S = 0.03
STEPS = 60


async def produce(settings: Settings) -> None:
    producer = make_producer(settings)
    try:
        await producer.start()
        await _until_cancelled()
    finally:
        await producer.stop()


async def consume(settings: Settings) -> None:
    async with started_consumer(settings):
        await _until_cancelled()


async def administer(settings: Settings) -> None:
    async with started_admin(settings):
        await _until_cancelled()


async def _until_cancelled() -> None:
    # So that no cancellation meets a client that is closing already.
    await asyncio.Event().wait()


@pytest.mark.parametrize("use", [produce, consume, administer])
async def test_a_start_that_is_cancelled_at_any_moment_leaves_no_connection(
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
                with suppress(asyncio.CancelledError):
                    await using
                gc.collect()
        assert [str(warning.message) for warning in left] == []
