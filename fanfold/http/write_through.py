"""Read-your-writes: the row that an appended event will become, written before the worker gets to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from fanfold.core.errors import FanfoldError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The event is in the log already: its writer shouldn't wait long for what can only be a courtesy.
WITHIN_S = 0.5


async def best_effort(asked: Awaitable[T]) -> T | None:
    """What the tables answer, or None when they don't answer soon: after an append nothing may fail the request."""
    try:
        async with asyncio.timeout(WITHIN_S):
            return await asked
    except (FanfoldError, TimeoutError) as error:
        logger.warning("the tables did not answer in time", extra={"reason": str(error)})
        return None
