"""The tail of the log: live feeds take hints from it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient, Undecodable
from fanfold.core.events import PROJECTED_TOPICS, Event
from fanfold.core.ports.log import EventLog, Tail

logger = logging.getLogger(__name__)

_RETRY_S = 0.2


class LogTail:
    """This process's reader of the projected topics."""

    def __init__(self, log: EventLog, *, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def follow(self, hint: Callable[[Event], None]) -> None:
        """Call `hint` with every new event, for ever."""
        while True:
            try:
                async with self._log.tail(PROJECTED_TOPICS, since_ms=self._clock.now_ms()) as tail:
                    await self._follow(tail, hint)
            except Transient as error:
                logger.warning("the log can't be followed: %s", error)
            await self._clock.sleep(_RETRY_S)

    async def _follow(self, tail: Tail, hint: Callable[[Event], None]) -> None:
        while True:
            for record in await tail.read():
                try:
                    event = record.event()
                except Undecodable:
                    continue  # the worker dead-letters it: it changes nothing
                hint(event)
