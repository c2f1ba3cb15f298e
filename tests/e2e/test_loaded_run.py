"""Under load, with everything happening at once: every write is seen by its writer at once, and at quiescence
everything that the API shows equals the oracle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.support.engines import Node
from tests.support.loaded_run import Load, loaded_run
from tests.support.real_stack import RealStack
from tests.support.stacks import Stack

# Every kind of look, so that none was left out by chance.
LOOKS = {
    *("post", "edit", "delete", "follow", "unfollow", "mute", "unmute", "block", "unblock"),
    *("like", "unlike", "rename", "leave", "read", "delivery"),
}


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

    if not isinstance(stack, RealStack) or stack.cache is None:
        yield outages
        return
    repeating = asyncio.create_task(repeat(stack.cache))
    try:
        yield outages
    finally:
        repeating.cancel()
        await asyncio.wait({repeating})


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": 120, "overlap_s": 2, "bucket_followers": 32}


@pytest.mark.parametrize(
    "stack",
    [
        "embedded",
        pytest.param("embedded, cached", marks=pytest.mark.slow),
        pytest.param("real", marks=pytest.mark.real),
    ],
    indirect=True,
)
@pytest.mark.timeout(400)
async def test_everything_equals_the_oracle_after_a_loaded_run(stack: Stack) -> None:
    load = Load()
    async with cache_outages(stack) as outages:
        run = await loaded_run(stack, load)
    if isinstance(stack, RealStack):
        assert outages.count > 1, "the cache was killed in the middle"
    assert run.wrong == []
    compared, oracle = run.compared, run.oracle
    assert compared.feeds + compared.gone >= load.users
    assert (compared.gone, len(oracle.left)) == (load.leavers, load.leavers)
    assert compared.items > 1_000, "an empty run proves nothing"
    assert compared.likes > 100
    assert compared.sources == {"push", "pull"}
    assert {look for look, looks in run.looks.items() if looks > 3} >= LOOKS
    assert run.reconnected == 3
    assert set(oracle.told) == set(oracle.crossings)
    sides = [crossing.delivery for crossing in oracle.crossings if crossing.author_id == run.star]
    assert sides == ["pull", "push", "pull", "push", "pull"]
    assert len(oracle.awakenings) >= load.sleepers
