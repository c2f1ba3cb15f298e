"""The last fifteen minutes of what a console shows, sampled whether or not somebody looks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from console_service.processes import Process
from console_service.readings import Reading, read_metrics
from console_service.work import Status, read_status
from fanfold.core.clock import Clock
from fanfold.core.ports.log_view import LogView

logger = logging.getLogger(__name__)

EVERY_S = 5.0
KEPT = 180
"""Fifteen minutes."""
_FRESH_S = 1.0
"""Viewers at the same time share a sample."""
_MOST_COMMANDS = 500
"""Of the commands that wait; with more of them, the number of fan-outs is a lower bound."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. The log's part is None if the log did not answer; a process that did not answer has no reading."""

    at_s: float
    at_ms: int
    lag: int | None
    fanouts: int | None
    dead_letters: int | None
    readings: Mapping[str, Reading]


class Samples:
    """At most `KEPT` samples, `EVERY_S` apart, and the latest one. `status` is what the log knew then."""

    status: Status

    def __init__(self, view: LogView, processes: Sequence[Process], clock: Clock) -> None:
        self._view = view
        self._processes = processes
        self._clock = clock
        self._kept: deque[Sample] = deque(maxlen=KEPT)
        self._latest: Sample | None = None
        self._one_at_a_time = asyncio.Lock()

    async def up_to_now(self) -> Sequence[Sample]:
        """The samples in order of time. The last one is at most a second old."""
        async with self._one_at_a_time:
            now_s = self._clock.monotonic_s()
            if self._latest is None or now_s - self._latest.at_s >= _FRESH_S:
                self._latest = await self._take()
                # A timer is never exact: the next one may come a little early.
                if not self._kept or self._latest.at_s - self._kept[-1].at_s >= 0.9 * EVERY_S:
                    self._kept.append(self._latest)
        if self._kept[-1] is self._latest:
            return list(self._kept)
        return [*self._kept, self._latest]

    async def keep_sampling(self) -> None:
        """Take a sample every `EVERY_S`, for ever: a fault of one look, which is logged, leaves the next ones."""
        while True:
            try:
                await self.up_to_now()
            except Exception:
                logger.exception("no sample was taken")
            await self._clock.sleep(EVERY_S)

    async def _take(self) -> Sample:
        status, expositions = await asyncio.gather(
            read_status(self._view, most_commands=_MOST_COMMANDS),
            asyncio.gather(*(process.metrics() for process in self._processes)),
        )
        self.status, work = status, status.work
        return Sample(
            at_s=self._clock.monotonic_s(),
            at_ms=self._clock.now_ms(),
            lag=None if work is None else work.lag,
            fanouts=None if work is None else len(work.fanouts),
            dead_letters=None if work is None else work.dead_letters,
            readings={
                process.name: reading
                for process, text in zip(self._processes, expositions, strict=True)
                if (reading := _reading_of(process, text)) is not None
            },
        )


def _reading_of(process: Process, exposition: str | None) -> Reading | None:
    """None of a process that did not answer, or whose answer can't be read: one must not end the samples of all."""
    if exposition is None:
        return None
    try:
        return read_metrics(exposition)
    except ValueError as error:
        logger.warning("the metrics of %s can't be read: %s", process.name, error)
        return None


@asynccontextmanager
async def sampling(
    view: LogView, processes: Sequence[Process], *, clock: Clock
) -> AsyncIterator[Samples]:
    """Samples that are taken until the block ends."""
    samples = Samples(view, processes, clock)
    task = asyncio.create_task(samples.keep_sampling(), name="samples of the console")
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
