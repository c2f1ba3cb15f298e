"""Work that holds the event loop is seen as lag."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import REGISTRY

from fanfold.http.event_loop_lag import LOOK_EVERY_S, event_loop_watched


def measured(sample: str) -> float:
    return REGISTRY.get_sample_value(f"fanfold_event_loop_lag_seconds_{sample}") or 0


async def test_work_that_holds_the_event_loop_is_lag() -> None:
    count, total_s = measured("count"), measured("sum")
    async with event_loop_watched():
        await asyncio.sleep(0)
        time.sleep(LOOK_EVERY_S + 0.05)  # noqa: ASYNC251 - this holds it
        while measured("count") == count:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
    assert measured("sum") - total_s >= 0.05
