"""What the workers' group has still to do, as Kafka knows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from fanfold.adapters.kafka.security import client_security
from fanfold.core.errors import Unavailable
from fanfold.core.events import DEAD_LETTERS, SLICES
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics

_ANSWER_S = 10.0
_READ_MS = 500
_LOOK_AGAIN_S = 0.2


class PartitionLag(NamedTuple):
    """How far the group has come in one partition; `committed` is the next offset it would be given."""

    topic: str
    partition: int
    committed: int
    end: int

    @property
    def records(self) -> int:
        """How many records are not acknowledged."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class Backlog:
    """`commands` are the unacknowledged records of the slices topic; not `all_commands` if there were too many."""

    lags: tuple[PartitionLag, ...]
    dead_letters: int
    commands: tuple[Record, ...]
    all_commands: bool


async def read_backlog(settings: Settings, *, most_commands: int) -> Backlog:
    """Look at the group `<topic_prefix>.fanout` without joining it. Raises `Unavailable`."""
    at = {
        TopicPartition(f"{settings.topic_prefix}.{topic.name}", n): topic.name
        for topic in load_topics().values()
        if "fanout_service" in topic.consumers or topic.name == DEAD_LETTERS
        for n in range(topic.partitions)
    }
    async with _consumer(settings) as consumer:
        consumer.assign(list(at))
        # Before the ends, so that a lag is never too small.
        committed = await _committed(settings)
        first, ends = await asyncio.gather(
            consumer.beginning_offsets(list(at)), consumer.end_offsets(list(at))
        )
        lags = {
            each: PartitionLag(
                topic, each.partition, max(committed.get(each, 0), first[each]), ends[each]
            )
            for each, topic in at.items()
            if topic != DEAD_LETTERS
        }
        waiting = {each: lag for each, lag in lags.items() if lag.topic == SLICES and lag.records}
        commands = await _read(consumer, waiting, most=most_commands)
    return Backlog(
        tuple(sorted(lags.values())),
        sum(ends[each] - first[each] for each, topic in at.items() if topic == DEAD_LETTERS),
        tuple(commands),
        len(commands) >= sum(lag.records for lag in waiting.values()),
    )


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
        **client_security(settings),
    )
    try:
        async with asyncio.timeout(_ANSWER_S):
            await consumer.start()
            yield consumer
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
    finally:
        await consumer.stop()


async def _committed(settings: Settings) -> dict[TopicPartition, int]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap, **client_security(settings)
    )
    try:
        await admin.start()
        return await acknowledged(admin, settings)
    finally:
        await admin.close()


async def acknowledged(admin: AIOKafkaAdminClient, settings: Settings) -> dict[TopicPartition, int]:
    """The next offset that the group would be given, by partition; none of one that it never acknowledged.

    Waits for a coordinator for as long as the caller does.
    """
    while True:
        try:
            found = await admin.list_consumer_group_offsets(f"{settings.topic_prefix}.fanout")
        except GroupCoordinatorNotAvailableError:
            # A broker that has just started, or has never had a group.
            await asyncio.sleep(_LOOK_AGAIN_S)
        else:
            # A partition without acknowledgement says -1, or is missing.
            return {at: max(0, each.offset) for at, each in found.items()}


async def _read(
    consumer: AIOKafkaConsumer, lags: Mapping[TopicPartition, PartitionLag], *, most: int
) -> list[Record]:
    """From what is acknowledged to the end as it was, or until there are `most`."""
    if not lags or not most:
        # A consumer that was assigned something, and never asked for it, has been seen not to stop.
        return []
    consumer.assign(list(lags))
    for at, lag in lags.items():
        consumer.seek(at, lag.committed)
    found: list[Record] = []
    left = set(lags)
    while left and len(found) < most:
        fetched = await consumer.getmany(*left, timeout_ms=_READ_MS, max_records=most)
        for at, records in fetched.items():
            found += _before(records, lags[at])
        left = {at for at in left if await consumer.position(at) < lags[at].end}
    return found


def _before(records: Iterable[ConsumerRecord[bytes, bytes]], lag: PartitionLag) -> list[Record]:
    return [
        Record(
            lag.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            dict(record.headers),
            record.timestamp,
        )
        for record in records
        if record.offset < lag.end
    ]
