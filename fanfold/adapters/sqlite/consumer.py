"""`Consumer` on the log in SQLite: for `make run` and fast tests."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping

from fanfold.adapters.sqlite.file import Row
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.clock import Clock
from fanfold.core.errors import Fault
from fanfold.core.ports.log import BatchHandler

logger = logging.getLogger(__name__)


class SqliteConsumer:
    """Passes the records of all topics to their handlers, one batch at a time, in the order of appending.

    So a replay repeats history as it happened. Acknowledgements are kept by the open log, by group: a new process starts at the
    first record, because the tables that its handlers fill are in memory too. `replay=True` always starts there.
    """

    def __init__(
        self,
        log: SqliteLog,
        *,
        clock: Clock,
        take_events: int,
        group: str = "fanout",
        replay: bool = False,
    ) -> None:
        self._log = log
        self._clock = clock
        self._take_events = take_events
        self._group = group
        self._acknowledged = 0 if replay else log.acknowledged.get(group, 0)
        self._topics: tuple[str, ...] = ()
        self._stopped = False
        self._progress = asyncio.Event()

    async def run(self, handlers: Mapping[str, BatchHandler]) -> None:
        self._topics = tuple(handlers)
        history, started_s = self._log.last_seq(self._topics), self._clock.monotonic_s()
        self._wake_waiters()
        try:
            while True:
                if history and self._acknowledged >= history:
                    took_s = self._clock.monotonic_s() - started_s
                    logger.info("replayed the log up to record %d in %.2f s", history, took_s)
                    history = 0
                await self._log.grown(self._topics, after=self._acknowledged)
                rows = await self._log.rows(
                    self._topics, after=self._acknowledged, limit=self._take_events
                )
                for topic, batch in itertools.groupby(rows, key=lambda row: row.record.topic):
                    await self._handle(handlers[topic], list(batch))
        finally:
            self._stopped = True
            self._wake_waiters()

    async def drained(self) -> None:
        """Return when everything appended so far is handled, and everything that handlers append meanwhile.

        Raises `Fault` once the consumer has stopped.
        """
        while self._behind():
            await self._progress.wait()

    def _behind(self) -> bool:
        if self._stopped:
            raise Fault("the consumer has stopped")
        return not self._topics or self._acknowledged < self._log.last_seq(self._topics)

    async def _handle(self, handler: BatchHandler, batch: list[Row]) -> None:
        await handler([row.record for row in batch])
        self._acknowledged = self._log.acknowledged[self._group] = batch[-1].seq
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()
