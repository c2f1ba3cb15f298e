"""Processing a batch: every record of it ends as projected or as a dead letter, or none is acknowledged.

This is where the worker handles errors. The code below it raises them by class: `Transient` is retried, `Rejected` makes a dead
letter, `Fault` stops the worker.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fanfold.core.clock import Clock
from fanfold.core.errors import Fault, Rejected, Transient
from fanfold.core.events import Event
from fanfold.core.ports.log import EventLog, Record
from fanfold.core.retry import Backoff, retry
from fanout_service.dead_letter_limit import DeadLettersInARow, cause_of, source_of
from fanout_service.metrics import DEAD_LETTERS, EVENTS, RETRIES
from fanout_service.recorded_event import RecordedEvent, read_recorded_event
from fanout_service.run_concurrently import run_concurrently

logger = logging.getLogger(__name__)

# Workers that failed together don't come back together.
BACKOFF = Backoff(first_s=0.05, longest_s=5.0, jitter=0.5)
LONGEST_REASON = 1000
"""Characters: a validation error repeats the invalid value, which may be of any length."""

E = TypeVar("E", bound=Event)

Project = Callable[[Sequence[RecordedEvent[E]]], Awaitable[None]]
"""Projects the events of one group, in order. Idempotent, also after a crash between any two of its writes."""


@dataclass(frozen=True, slots=True)
class Route(Generic[E]):
    """How the records of one topic are processed.

    `events` are the types that the topic holds. Events of one group are projected at once, in the log's order; different groups
    concurrently, so that their statements travel together.
    """

    events: tuple[type[E], ...]
    project: Project[E]
    group_of: Callable[[RecordedEvent[E]], Hashable]

    def read(self, record: Record, *, max_skew_ms: int) -> RecordedEvent[E]:
        """The record's event. Raises `Rejected`."""
        _, event = read_recorded_event(record, max_skew_ms=max_skew_ms)
        if not isinstance(event, self.events):
            raise Rejected(f"{type(event).__name__} does not belong on {record.topic}")
        return RecordedEvent(record, event)


class BatchProcessor:
    """Retries transient failures, dead-letters rejected records, and gives up when an engine stays away."""

    def __init__(
        self,
        *,
        log: EventLog,
        clock: Clock,
        retry_budget_s: float,
        dead_letter_limit: int,
        max_clock_skew_s: float,
        groups_in_flight: int = 256,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._log = log
        self._clock = clock
        self._retry_budget_s = retry_budget_s
        self._dead_letter_limit = dead_letter_limit
        self._free = asyncio.Semaphore(groups_in_flight)
        self._chance = chance
        self._max_skew_ms = int(max_clock_skew_s * 1000)
        self._dead_in_a_row = DeadLettersInARow(dead_letter_limit)

    async def process(self, records: Sequence[Record], route: Route[E]) -> None:
        """Return when every record is projected or a dead letter. Raises `Fault`: then none may be acknowledged."""
        groups: dict[Hashable, list[RecordedEvent[E]]] = defaultdict(list)
        for record in records:
            try:
                recorded = route.read(record, max_skew_ms=self._max_skew_ms)
            except Rejected as error:
                await self._dead_letter(record, error)
            else:
                groups[route.group_of(recorded)].append(recorded)
        await run_concurrently(self._process_group(group, route) for group in groups.values())

    async def _process_group(self, group: Sequence[RecordedEvent[E]], route: Route[E]) -> None:
        async with self._free:
            await self._process_unit(group, route.project)

    async def _process_unit(self, unit: Sequence[RecordedEvent[E]], project: Project[E]) -> None:
        topic = unit[0].record.topic
        try:
            await self._retry(topic, lambda: project(unit))
        except Fault:
            raise
        except Exception as error:
            # The edge of the process: one poisonous record, or a bug that it triggers, must not stop all others.
            if not isinstance(error, Rejected):
                position = unit[0].record.position
                logger.exception("%d records from %s on failed", len(unit), position)
            await self._find_rejected(unit, project, error)
        else:
            self._dead_in_a_row.end()
            EVENTS.labels(topic, "projected").inc(len(unit))

    async def _find_rejected(
        self, unit: Sequence[RecordedEvent[E]], project: Project[E], error: Exception
    ) -> None:
        """Dead-letter the record that failed; of several, find it by projecting them one by one."""
        if len(unit) == 1:
            await self._dead_letter(unit[0].record, error)
            return
        for recorded in unit:
            await self._process_unit([recorded], project)

    async def _dead_letter(self, record: Record, error: Exception) -> None:
        if self._dead_in_a_row.add(record, error):
            raise Fault(
                f"{self._dead_letter_limit} dead letters in a row: the worker is more likely wrong than the records;"
                f" the next would be {record.position}: {_without_content(error)}"
            ) from error
        reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        try:
            await self._append_dead_letter(record, reason)
        except Rejected:
            # Its new headers make it too large for the log. The original record is still at the position that they name.
            without_value = replace(record, value=None)
            await self._append_dead_letter(without_value, f"{reason} (value left out)")
        EVENTS.labels(record.topic, "dead_letter").inc()
        DEAD_LETTERS.labels(source_of(record), cause_of(error)).inc()
        logger.warning("dead letter %s: %s", record.position, _without_content(error))

    async def _append_dead_letter(self, record: Record, reason: str) -> None:
        await self._retry(record.topic, lambda: self._log.dead_letter(record, reason))

    async def _retry(self, topic: str, attempt: Callable[[], Awaitable[None]]) -> None:
        """Repeat it until it succeeds. Raises `Fault` when it has failed for the whole budget."""

        def failed(error: Exception) -> None:
            RETRIES.labels(topic).inc()
            logger.warning("%s: an attempt failed: %s", topic, error)

        try:
            await retry(
                attempt,
                backoff=BACKOFF,
                clock=self._clock,
                budget_s=self._retry_budget_s,
                failed=failed,
                chance=self._chance,
            )
        except Transient as error:
            raise Fault(f"no success within {self._retry_budget_s} s: {error}") from error


def _without_content(error: Exception) -> str:
    """The error for the log: the text of an unexpected one may repeat what users wrote."""
    name = type(error).__name__
    return f"{name}: {error}"[:LONGEST_REASON] if isinstance(error, Rejected) else name
