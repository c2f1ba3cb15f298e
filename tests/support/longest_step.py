"""How long one step of the event loop lasts at most, while something runs."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

TRIES = 3


async def longest_step_s(run: Callable[[], Awaitable[Any]]) -> float:
    """The longest step in CPU time of this thread, which other processes don't lengthen. The best of some runs.

    The collector of garbage is off meanwhile: how long it holds the loop depends on all that a test process holds.
    """
    gc.collect()
    gc.disable()
    try:
        return min([await _longest_step_s(run) for _ in range(TRIES)])
    finally:
        gc.enable()


async def _longest_step_s(run: Callable[[], Awaitable[Any]]) -> float:
    steps: list[float] = []

    async def beat() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            steps.append(now - last)
            last = now

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        await run()
        await asyncio.sleep(0)  # the last step counts too
    finally:
        beating.cancel()
    return max(steps)
