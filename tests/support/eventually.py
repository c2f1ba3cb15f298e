"""Waiting around real processes, and only there: everything in one process has a virtual clock or `drained()`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.own_time import own_s


async def eventually(
    holds: Callable[[], Awaitable[bool]], *, within_s: float, what: str, every_s: float = 0.1
) -> None:
    """Return as soon as it holds; fail, saying what was waited for, when a look that begins so long after the first finds that it doesn't.

    The bound ends a test that would wait for ever. It is no promise of the product: other tests have the cores too. However long
    a look takes on a busy machine, one of them begins when the time has passed.
    """
    deadline_s = own_s() + within_s
    last = False
    while not await holds():
        assert not last, f"not within {within_s} s: {what}"
        await asyncio.sleep(every_s)
        last = own_s() >= deadline_s
