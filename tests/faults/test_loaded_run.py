"""The loaded run on the real engines: while their cache is killed now and then, and a smaller one without a cache."""

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

# A third of the CPU.
SMALLER = Load(
    users=320,
    sleepers=10,
    absent=8,
    leavers=4,
    dozes=4,
    reads=20,
    earlier_posts=30,
    missed_posts=20,
    posts=60,
    last_posts=4,
    edits=20,
    deletes=12,
    renames=10,
    likes=120,
    unlikes=24,
    follows=40,
    unfollows=30,
    mutes=16,
    unmutes=10,
    blocks=12,
    unblocks=10,
    mean_followers=7,
)


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


@pytest.mark.parametrize("stack_settings", [{**SETTINGS, "pull_threshold": 40}])
@pytest.mark.parametrize("stack", ["real, without a cache"], indirect=True)
@pytest.mark.timeout(900)
async def test_everything_equals_the_oracle_after_a_loaded_run_without_a_cache(
    stack: Stack,
) -> None:
    assert isinstance(stack, RealStack)
    assert (stack.cache, stack.settings.cache) == (None, "none")
    assert_equals_the_oracle(await loaded_run(stack, SMALLER), SMALLER)
