"""Questions to a log's file that don't hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(ask: Callable[[], T]) -> T:
    """The answer, asked in a thread. A caller that is cancelled waits for the answer all the same.

    The caller closes the file next, and SQLite crashes the process if a thread still reads it.
    """
    asking = asyncio.create_task(asyncio.to_thread(ask))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        await asyncio.wait([asking])
        raise
