"""A worker without a shared cache can't tell one: as long as it runs, no feed process may use one.

So the cache may be given to workers and feed processes, or taken from them, in any order and one process after another.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

from fanfold.adapters.telling_stores.writer import TELL_AGAIN_S
from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.ports import CacheSwitch

_TRY_AGAIN_S = 1.0

_log = logging.getLogger(__name__)


async def keep_outage(
    switch: CacheSwitch, *, writer_id: str, clock: Clock, told: asyncio.Event
) -> None:
    """Tell an outage that lasts until this is cancelled, and a minute longer.

    `told` is set once it is told for the first time: the worker must write nothing before. The writer id may be one that an earlier process
    used, because this never ends an outage.
    """
    while True:
        try:
            # A new epoch each time, so it doesn't matter whether the last outage has ended by itself meanwhile.
            await switch.begin(writer_id, uuid4())
        except Unavailable as error:
            _log.info("the outage of a worker without a cache was not told: %s", error)
            await clock.sleep(_TRY_AGAIN_S)
        else:
            told.set()
            await clock.sleep(TELL_AGAIN_S)
