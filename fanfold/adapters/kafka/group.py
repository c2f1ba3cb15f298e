"""The workers' group `<topic_prefix>.fanout`, seen from outside: nothing here joins it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.clients import (
    partitions_of,
    started_admin,
    started_consumer,
    translated,
)
from fanfold.adapters.kafka.epoch import first_offset
from fanfold.adapters.kafka.records import record_of
from fanfold.core.events import COMMANDS, DEAD_LETTERS
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics

_READ_COMMANDS_S = 10.0
_READ_MS = 500
_COORDINATOR_PAUSE_S = 0.2


class WorkerGroup:
    """What the group has acknowledged of some topics: an async context manager that keeps its connections.

    Entering and every call raise `Unavailable` within the request timeout.
    """

    def __init__(self, settings: Settings, topics: Collection[str]) -> None:
        self._settings = settings
        self._chosen = topics
        self._topics: Mapping[TopicPartition, str] = {}
        self._partitions: list[TopicPartition] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening, self._answering():
            self._admin = await opening.enter_async_context(started_admin(self._settings))
            self._consumer = await opening.enter_async_context(started_consumer(self._settings))
            self._topics = await partitions_of(self._consumer, self._settings, self._chosen)
            self._partitions = list(self._topics)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def cluster_id(self) -> str:
        """The id that the cluster was formatted with."""
        async with self._answering():
            return str((await self._admin.describe_cluster())["cluster_id"])

    async def ends(self) -> list[int]:
        """The offset of the next record to be appended, for each partition of the topics in order."""
        async with self._answering():
            ends = await self._consumer.end_offsets(self._partitions)
        return [ends[partition] for partition in self._partitions]

    async def unhandled(self, ends: list[int]) -> int:
        """The number of records before these ends that the group has not acknowledged."""
        async with self._answering():
            committed = await _committed(self._admin, self._settings)
        first = first_offset(self._settings)
        return sum(
            max(0, end - committed.get(partition, first))
            for partition, end in zip(self._partitions, ends, strict=True)
        )

    async def lags(self) -> list[PartitionLag]:
        """Each partition, in order. What Kafka has deleted counts as acknowledged; a lag is never too small."""
        async with self._answering():
            # Before the ends: a record that is acknowledged meanwhile then counts as waiting, not the other way round.
            committed = await _committed(self._admin, self._settings)
            first, ends = await asyncio.gather(
                self._consumer.beginning_offsets(self._partitions),
                self._consumer.end_offsets(self._partitions),
            )
        return [
            PartitionLag(
                topic,
                partition.partition,
                max(committed.get(partition, 0), first[partition]),
                ends[partition],
            )
            for partition, topic in self._topics.items()
        ]

    async def unacknowledged(self, lags: Collection[PartitionLag], *, most: int) -> list[Record]:
        """The records that these lags count: all of them, or `most` and a few more. Raises `Unavailable` after 10 s."""
        behind = {
            TopicPartition(f"{self._settings.topic_prefix}.{lag.topic}", lag.partition): lag
            for lag in lags
            if lag.records
        }
        if not behind or not most:
            # A consumer that was assigned something, and never asked for it, has been seen not to stop.
            return []
        async with self._answering(_READ_COMMANDS_S):
            return await self._read(behind, most)

    async def _read(self, behind: Mapping[TopicPartition, PartitionLag], most: int) -> list[Record]:
        self._consumer.assign(list(behind))
        for partition, lag in behind.items():
            self._consumer.seek(partition, lag.committed)
        found: list[Record] = []
        left = set(behind)
        while left and len(found) < most:
            fetched = await self._consumer.getmany(*left, timeout_ms=_READ_MS, max_records=most)
            for partition, records in fetched.items():
                lag = behind[partition]
                found += [record_of(r, lag.topic) for r in records if r.offset < lag.end]
            left = {
                partition
                for partition in left
                if await self._consumer.position(partition) < behind[partition].end
            }
        return found

    @asynccontextmanager
    async def _answering(self, within_s: float | None = None) -> AsyncIterator[None]:
        with translated(self._settings):
            async with asyncio.timeout(within_s or self._settings.request_timeout_s):
                yield


async def _committed(admin: AIOKafkaAdminClient, settings: Settings) -> dict[TopicPartition, int]:
    """The next offset that the group would be given, by partition; a partition that it never acknowledged may be missing.

    Waits for a coordinator for as long as the caller does.
    """
    while True:
        try:
            found = await admin.list_consumer_group_offsets(f"{settings.topic_prefix}.fanout")
        except GroupCoordinatorNotAvailableError:
            # A broker that has just started, or has never had a group.
            await asyncio.sleep(_COORDINATOR_PAUSE_S)
        else:
            # A partition without acknowledgement says -1, or is missing.
            first = first_offset(settings)
            return {partition: first + max(0, kept.offset) for partition, kept in found.items()}


async def read_backlog(settings: Settings, *, most_commands: int) -> Backlog:
    """Look at everything that the group consumes, and count the dead letters. Raises `Unavailable`."""
    consumed = [
        topic.name for topic in load_topics().values() if "fanout_service" in topic.consumers
    ]
    async with WorkerGroup(settings, [*consumed, DEAD_LETTERS]) as group:
        lags = await group.lags()
        waiting = [lag for lag in lags if lag.topic == COMMANDS]
        commands = await group.unacknowledged(waiting, most=most_commands)
    return Backlog(
        # Nobody acknowledges a dead letter, so their lag is their number.
        lags=tuple(sorted(lag for lag in lags if lag.topic != DEAD_LETTERS)),
        dead_letters=sum(lag.records for lag in lags if lag.topic == DEAD_LETTERS),
        commands=tuple(commands),
        all_commands=len(commands) >= sum(lag.records for lag in waiting),
    )
