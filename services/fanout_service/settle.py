"""Settling a batch: every record of it ends projected or as a dead letter, or nothing is acknowledged.

This is the worker's edge: below it errors are raised by what to do about them, and here it is done.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from fanfold.core.clock import Clock
from fanfold.core.errors import Fault, Rejected, Transient
from fanfold.core.ports.log import EventLog, Record
from fanout_service.concurrently import concurrently
from fanout_service.entries import Entry, read_entry
from fanout_service.metrics import EVENTS, RETRIES

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
LONGEST_REASON = 1000
"""Characters: a validation error repeats what was wrong, and that may be anything."""

Project = Callable[[Sequence[Entry]], Awaitable[None]]
"""Projects entries of one group, in order. Idempotent, also after a crash between any two of its writes."""


@dataclass(frozen=True, slots=True)
class Route:
    """How the records of one topic are settled.

    Entries with one `group_of` are projected in the log's order, different groups concurrently. `together` hands
    a group over whole instead of entry by entry.
    """

    project: Project
    group_of: Callable[[Entry], Hashable]
    together: bool


class Settler:
    """Retries what may pass, buries what is wrong in itself, gives up where the infrastructure stays away."""

    def __init__(
        self,
        *,
        log: EventLog,
        clock: Clock,
        retry_budget_s: float,
        dead_letter_limit: int,
        groups_in_flight: int = 32,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._log = log
        self._clock = clock
        self._retry_budget_s = retry_budget_s
        self._dead_letter_limit = dead_letter_limit
        self._free = asyncio.Semaphore(groups_in_flight)
        self._jitter = jitter
        self._dead_in_a_row = 0

    async def settle(self, records: Sequence[Record], route: Route) -> None:
        """Return when every record is settled. Raises `Fault`: then none may be acknowledged."""
        groups: dict[Hashable, list[Entry]] = defaultdict(list)
        for record in records:
            try:
                entry = read_entry(record)
            except Rejected as error:
                await self._bury(record, error)
            else:
                groups[route.group_of(entry)].append(entry)
        await concurrently(self._settle_group(entries, route) for entries in groups.values())

    async def _settle_group(self, entries: Sequence[Entry], route: Route) -> None:
        async with self._free:
            if route.together:
                await self._settle_unit(entries, route.project)
                return
            for entry in entries:
                await self._settle_unit([entry], route.project)

    async def _settle_unit(self, entries: Sequence[Entry], project: Project) -> None:
        topic = entries[0].record.topic
        try:
            await self._retrying(topic, lambda: project(entries))
        except Fault:
            raise
        except Exception as error:
            # The edge of the process: one poisonous record, or a bug that it trips, must not stop all others.
            if not isinstance(error, Rejected):
                logger.exception("%s: %d records from %s failed", topic, len(entries), entries[0])
            await self._isolate(entries, project, error)
        else:
            self._dead_in_a_row = 0
            EVENTS.labels(topic, "projected").inc(len(entries))

    async def _isolate(self, entries: Sequence[Entry], project: Project, error: Exception) -> None:
        """Bury the one that failed; of several, find out which by projecting each alone."""
        if len(entries) == 1:
            await self._bury(entries[0].record, error)
            return
        for entry in entries:
            await self._settle_unit([entry], project)

    async def _bury(self, record: Record, error: Exception) -> None:
        self._dead_in_a_row += 1
        if self._dead_in_a_row > self._dead_letter_limit:
            raise Fault(
                f"{self._dead_letter_limit} dead letters in a row: more likely this worker is wrong than they are;"
                f" the next would be {record.position}: {error}"
            ) from error
        reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        try:
            await self._keep_dead_letter(record, reason)
        except Rejected:
            # With its new headers it is too large for the log. Its origin still holds it, and the letter says where.
            await self._keep_dead_letter(replace(record, value=None), f"{reason} (value left out)")
        EVENTS.labels(record.topic, "dead_letter").inc()
        logger.warning("dead letter %s: %s", record.position, reason)

    async def _keep_dead_letter(self, record: Record, reason: str) -> None:
        await self._retrying(record.topic, lambda: self._log.dead_letter(record, reason))

    async def _retrying(self, topic: str, attempt: Callable[[], Awaitable[None]]) -> None:
        """Repeat until it succeeds. Raises `Fault` when it has failed for the whole budget."""
        gives_up_at_s: float | None = None
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await attempt()
            except Transient as error:
                RETRIES.labels(topic).inc()
                now_s = self._clock.monotonic_s()
                gives_up_at_s = gives_up_at_s or now_s + self._retry_budget_s
                if now_s + pause_s > gives_up_at_s:
                    raise Fault(f"no success within {self._retry_budget_s} s: {error}") from error
                logger.warning("%s: trying again in about %.2f s: %s", topic, pause_s, error)
                # Half of the pause is random, so that workers which failed together don't come back together.
                await self._clock.sleep(pause_s * (0.5 + 0.5 * self._jitter()))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return
