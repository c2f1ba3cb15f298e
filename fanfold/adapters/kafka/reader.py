"""Reads single records of Kafka by their position."""

from __future__ import annotations

import asyncio
from typing import Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.clients import make_consumer, partitions_of
from fanfold.adapters.kafka.records import record_of
from fanfold.core.errors import LogUnavailable
from fanfold.core.events import PROJECTED_TOPICS
from fanfold.core.ports.log import Position, Record
from fanfold.core.settings import Settings

# Kafka answers at once with a record that exists; a longer wait would only be for one that doesn't.
_WAIT_MS = 200
# The client prefetches what follows a record, and a broker answers the requests of one connection in order: the next
# read waits for that answer.
_FETCH_WAIT_MS = 5


class RecordReader:
    """A consumer without a group that reads one record at a time: those whose positions reads name without their changes.

    Connects at the first read, and again when the connection is lost.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partitions: dict[str, frozenset[TopicPartition]] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._disconnect()

    async def read(self, position: Position) -> Record | None:
        """See `EventLog.read`."""
        if position.topic not in PROJECTED_TOPICS:
            return None
        async with self._one_at_a_time:
            try:
                return await self._read(position)
            except OffsetOutOfRangeError:
                return None
            except (KafkaError, OSError) as error:
                await self._disconnect()
                raise LogUnavailable(f"Kafka: {error!r}") from error

    async def _read(self, position: Position) -> Record | None:
        consumer = self._consumer or await self._connect()
        topic = f"{self._settings.topic_prefix}.{position.topic}"
        partition = TopicPartition(topic, position.partition)
        if position.topic not in self._partitions:
            found = await partitions_of(consumer, self._settings, [position.topic])
            self._partitions[position.topic] = frozenset(found)
        if partition not in self._partitions[position.topic]:
            return None
        consumer.assign([partition])
        consumer.seek(partition, position.offset)
        try:
            fetched = await consumer.getmany(partition, timeout_ms=_WAIT_MS, max_records=1)
        finally:
            consumer.pause(partition)  # or it would go on fetching
        for record in fetched.get(partition, ()):
            # At a gap (another client's aborted transaction) Kafka answers with the next record.
            if record.offset == position.offset:
                return record_of(record, position.topic)
        return None

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = make_consumer(
            self._settings,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
