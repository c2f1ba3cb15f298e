"""`LogView` on the log in SQLite, within the process that has it open."""

from __future__ import annotations

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.events import COMMANDS, DEAD_LETTERS
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log_view import Backlog
from fanfold.core.topics import load_topics


class SqliteLogView:
    """See `LogView`."""

    name = "the embedded log"

    def __init__(self, log: SqliteLog, *, group: str = "fanout") -> None:
        self._log = log
        self._group = group

    async def backlog(self, *, most_commands: int) -> Backlog:
        # Before the records are counted: one that is acknowledged meanwhile then counts as waiting, not the other way round.
        after = self._log.acknowledged.get(self._group, 0)
        waiting = await self._log.first_offsets(after=after)
        lags = [
            PartitionLag(topic.name, partition, waiting.get((topic.name, partition), end), end)
            for topic in load_topics().values()
            if "fanout_service" in topic.consumers
            for partition in range(topic.partitions["few"])
            for end in (self._log.next_offset(topic.name, partition),)
        ]
        commands = await self._log.rows([COMMANDS], after=after, limit=most_commands)
        return Backlog(
            lags=tuple(sorted(lags)),
            # A new process deletes the dead letters and numbers them from 0.
            dead_letters=sum(
                self._log.next_offset(DEAD_LETTERS, partition)
                for partition in range(load_topics()[DEAD_LETTERS].partitions["few"])
            ),
            commands=tuple(row.record for row in commands),
            all_commands=len(commands) >= sum(lag.records for lag in lags if lag.topic == COMMANDS),
        )
