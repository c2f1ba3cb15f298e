"""Waiting around real processes, and only there: everything in one process has a virtual clock or `drained()`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(
    holds: Callable[[], Awaitable[bool]], *, within_s: float, what: str, every_s: float = 0.1
) -> None:
    """Return as soon as it holds; fail, saying what was waited for, when it doesn't in time."""
    deadline = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(every_s)
