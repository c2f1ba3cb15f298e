"""Reads and writes of the tables that may fail without failing the request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from fanfold.core.errors import FanfoldError

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S = 0.5
"""Short: the event is in the log already, and the client waits only so that it can read its own write at once."""


async def best_effort(call: Awaitable[T]) -> T | None:
    """What the call returns; None when the tables don't answer within half a second.

    For writing a row through after its event was appended, so that its author can read it before the worker has written it.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await call
    except (FanfoldError, TimeoutError) as error:
        logger.warning("the tables did not answer in time", extra={"reason": str(error)})
        return None
