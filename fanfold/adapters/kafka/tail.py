"""`Tail` on Kafka: a consumer without a group that reads whole topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.clients import make_consumer, partitions_of
from fanfold.adapters.kafka.records import record_of
from fanfold.core.clock import Clock
from fanfold.core.errors import LogUnavailable
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings

_WAIT_MS = 200
# An idle broker answers a fetch after this: it bounds `behind_s` of an idle, healthy tail.
_FETCH_WAIT_MS = 150
_RECONNECT_S = 0.2


class KafkaTail:
    """Follows topics from the first record that is at or after a point in time and has at least the partition's first offset.

    `first_offsets` has the first offset by topic and partition; `first_offset` is that of all other partitions. Connects while it is read, and
    again when the connection is lost.

    While the broker is down, `read` returns nothing or raises `Unavailable`; either way `behind_s` grows.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        *,
        since_ms: int,
        clock: Clock,
        first_offset: int = 0,
        first_offsets: Mapping[tuple[str, int], int] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._since_ms = since_ms
        self._first_offset, self._starts = first_offset, first_offsets
        self._clock = clock
        self._topics = topics
        self._partitions: Mapping[TopicPartition, str] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[TopicPartition, int] = {}
        self._opened_at_ms = clock.now_ms()
        self._caught_up_at_ms: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._disconnect()

    async def read(self) -> Sequence[Record]:
        try:
            consumer = self._consumer or await self._connect()
            fetched = await consumer.getmany(timeout_ms=_WAIT_MS)
        except (KafkaError, OSError, LogUnavailable) as error:
            await self._disconnect()
            await self._clock.sleep(_RECONNECT_S)  # So that a reader in a loop doesn't spin.
            raise LogUnavailable(f"Kafka: {error!r}") from error
        for partition, records in fetched.items():
            self._next[partition] = records[-1].offset + 1
        self._note_caught_up(consumer)
        return [
            record_of(record, self._partitions[partition])
            for partition, records in fetched.items()
            for record in records
        ]

    def behind_s(self) -> float:
        if self._consumer is not None:
            self._note_caught_up(self._consumer)
        caught_up_at_ms = min(self._caught_up_at_ms.values(), default=self._opened_at_ms)
        return max(0.0, (self._clock.now_ms() - caught_up_at_ms) / 1000)

    def _note_caught_up(self, consumer: AIOKafkaConsumer) -> None:
        for partition in self._partitions:
            # The end of the partition as of the last answered fetch, and when that was.
            end, at_ms = consumer.highwater(partition), consumer.last_poll_timestamp(partition)
            if end is not None and at_ms is not None and self._next[partition] >= end:
                self._caught_up_at_ms[partition] = at_ms

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = make_consumer(
            self._settings,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            retry_backoff_ms=_WAIT_MS,
        )
        try:
            await consumer.start()
            if not self._next:
                # Once: their number is fixed for life.
                self._partitions = await partitions_of(consumer, self._settings, self._topics)
                self._caught_up_at_ms = dict.fromkeys(self._partitions, self._opened_at_ms)
            consumer.assign(list(self._partitions))
            if not self._next:
                self._next = await self._first_offsets(consumer)
            for partition, offset in self._next.items():
                consumer.seek(partition, offset)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return consumer

    async def _first_offsets(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        # The ends first: a record that is appended between the two requests is then found by the second, or its offset is
        # at or after the end.
        ends = await consumer.end_offsets(list(self._partitions))
        found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, self._since_ms))
        first = {
            partition: found[partition].offset if found[partition] else end
            for partition, end in ends.items()
        }
        return {
            partition: max(offset, min(self._start(partition), ends[partition]))
            for partition, offset in first.items()
        }

    def _start(self, partition: TopicPartition) -> int:
        named = (self._partitions[partition], partition.partition)
        return self._starts.get(named, self._first_offset)

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
