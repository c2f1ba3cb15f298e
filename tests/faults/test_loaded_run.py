"""The loaded run on the real engines, while their cache is killed now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.support.compare_loaded_run import SETTINGS, assert_equals_the_oracle
from tests.support.engines import Node
from tests.support.loaded_run import Load, loaded_run
from tests.support.real_stack import RealStack
from tests.support.stacks import Stack

pytestmark = pytest.mark.real


@dataclass
class Outages:
    count: int = 0


@asynccontextmanager
async def cache_outages(stack: Stack) -> AsyncIterator[Outages]:
    """Kill the cache of a real stack now and then. It comes back empty, seconds later."""
    outages = Outages()

    async def repeat(cache: Node) -> None:
        while True:
            await asyncio.sleep(10)
            await asyncio.to_thread(cache.kill)
            outages.count += 1
            await asyncio.sleep(2)
            cache.launch()
            await asyncio.to_thread(cache.wait)

    assert isinstance(stack, RealStack)
    assert stack.cache is not None
    repeating = asyncio.create_task(repeat(stack.cache))
    try:
        yield outages
    finally:
        repeating.cancel()
        await asyncio.wait({repeating})


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return SETTINGS


@pytest.mark.parametrize("stack", ["real"], indirect=True)
@pytest.mark.timeout(900)
async def test_everything_equals_the_oracle_after_a_loaded_run(stack: Stack) -> None:
    load = Load()
    async with cache_outages(stack) as outages:
        run = await loaded_run(stack, load)
    assert outages.count > 1, "the cache was killed in the middle"
    assert_equals_the_oracle(run, load)
