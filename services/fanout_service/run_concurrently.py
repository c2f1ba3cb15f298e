"""Several coroutines at once, failing as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def run_concurrently(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all of it, and return when all is done.

    The first failure cancels the rest. It is raised once they have ended, and not inside a group: nothing is still running when a
    caller retries, and callers catch errors by their class.
    """
    all_of_it = list(work)
    if len(all_of_it) == 1:
        # Most groups have one event, and a task costs as much as what it is to do.
        await all_of_it[0]
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in all_of_it:
                tasks.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
