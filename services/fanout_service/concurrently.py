"""Several things at once, failing as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def concurrently(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all of it and return when all is done.

    The first failure cancels the rest, and is raised bare once they have ended: nothing goes on behind the back of
    a retry, and callers catch errors by what to do about them.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in work:
                tasks.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
