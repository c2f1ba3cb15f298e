"""Waiting around real processes, and only there: everything in one process has a virtual clock or `drained()`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.own_time import own_s


async def eventually(
    holds: Callable[[], Awaitable[bool]], *, within_s: float, what: str, every_s: float = 0.1
) -> None:
    """Return as soon as it holds; fail, saying what was waited for, when it doesn't in time.

    The bound ends a test that would wait for ever. It is no promise of the product: other tests have the cores too.
    """
    deadline_s = own_s() + within_s
    while not await holds():
        assert own_s() < deadline_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(every_s)
