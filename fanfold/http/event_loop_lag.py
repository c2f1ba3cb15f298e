"""How late the event loop is. Everything that is ready to run waits that long for its turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Histogram

_LAG = Histogram(
    "fanfold_event_loop_lag_seconds",
    "How much later than due a timer of the event loop ran, ten times a second.",
    # A timer of the loop is exact to a millisecond.
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LOOK_EVERY_S = 0.1


@asynccontextmanager
async def event_loop_watched() -> AsyncIterator[None]:
    """Measure the lag meanwhile."""
    watching = asyncio.create_task(_watch(), name="event loop lag")
    try:
        yield
    finally:
        watching.cancel()


async def _watch() -> None:
    while True:
        due_s = time.monotonic() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        _LAG.observe(max(0.0, time.monotonic() - due_s))
