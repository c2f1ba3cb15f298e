"""`LogView` on the log in SQLite, within the process that has it open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.events import COMMANDS, DEAD_LETTERS
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog, Span
from fanfold.core.topics import load_topics


class SqliteLogView:
    """See `LogView`."""

    name = "the embedded log"
    # One process writes it. A new start handles all its records again.
    replays = False

    def __init__(self, log: SqliteLog, *, group: str = "fanout") -> None:
        self._log = log
        self._group = group

    async def backlog(self, *, most_commands: int) -> Backlog:
        # Before the records are counted: one that is acknowledged meanwhile then counts as waiting, not the other way round.
        after = self._log.acknowledged.get(self._group, 0)
        ends = {
            (topic.name, number): self._log.next_offset(topic.name, number)
            for topic in load_topics().values()
            if "fanout_service" in topic.consumers
            for number in range(topic.partitions["few"])
        }
        waiting = await self._log.waiting(ends, after=after)
        lags = [
            PartitionLag(*partition, waiting[partition], end) for partition, end in ends.items()
        ]
        commands = await self._log.within(
            COMMANDS, _first_of([lag for lag in lags if lag.topic == COMMANDS], most=most_commands)
        )
        return Backlog(
            lags=tuple(sorted(lags)),
            # A new process deletes the dead letters and numbers them from 0.
            dead_letters=sum(
                self._log.next_offset(DEAD_LETTERS, partition)
                for partition in range(load_topics()[DEAD_LETTERS].partitions["few"])
            ),
            commands=tuple(commands),
            all_commands=len(commands) >= sum(lag.records for lag in lags if lag.topic == COMMANDS),
        )

    async def spans(self, topic: str, *, until_ms: int | None = None) -> dict[int, Span]:
        numbers = range(load_topics()[topic].partitions["few"])
        if until_ms is None:
            # Nothing is ever deleted from the beginning of a partition.
            return {number: Span(0, self._log.next_offset(topic, number)) for number in numbers}
        ends = await self._log.ends_until(topic, until_ms)
        return {number: Span(0, ends.get(number, 0)) for number in numbers}

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        return await self._log.within(topic, spans)


def _first_of(lags: Sequence[PartitionLag], *, most: int) -> dict[int, Span]:
    """The waiting records, or the first of them: at most this many, shared out evenly among the partitions that have more."""
    spans, left = {}, most
    for number, lag in enumerate(sorted(lags, key=lambda lag: lag.records)):
        taken = min(lag.records, left // (len(lags) - number))
        spans[lag.partition] = Span(lag.committed, lag.committed + taken)
        left -= taken
    return spans
