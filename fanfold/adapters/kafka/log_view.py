"""`LogView` on Kafka. Each call opens connections of its own: an operator asks seldom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.clients import partitions_of, started_consumer, translated
from fanfold.adapters.kafka.group import read_backlog
from fanfold.adapters.kafka.records import record_of
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog, Span
from fanfold.core.settings import Settings

_WITHIN_S = 10.0
_FETCH_MS = 200


class KafkaLogView:
    """See `LogView`."""

    replays = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = f"Kafka at {settings.kafka_bootstrap}"

    async def backlog(self, *, most_commands: int) -> Backlog:
        return await read_backlog(self._settings, most_commands=most_commands)

    async def spans(self, topic: str, *, until_ms: int | None = None) -> dict[int, Span]:
        async with self._consuming(topic) as (consumer, partitions):
            spans = await spans_of(consumer, partitions)
            if until_ms is None:
                return spans
            later = await consumer.offsets_for_times(dict.fromkeys(partitions, until_ms + 1))
        for partition, after in later.items():
            if after:
                first = spans[partition.partition].first
                spans[partition.partition] = Span(first, max(first, after.offset))
        return spans

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        wanted = {number: span for number, span in spans.items() if span.first < span.end}
        if not wanted:
            # A consumer that was assigned something, and never asked for it, has been seen not to stop.
            return []
        async with self._consuming(topic) as (consumer, partitions):
            left = {p: wanted[p.partition] for p in partitions if p.partition in wanted}
            consumer.assign(list(left))
            for partition, span in left.items():
                consumer.seek(partition, span.first)
            found: list[Record] = []
            while left:
                fetched = await consumer.getmany(*left, timeout_ms=_FETCH_MS)
                for partition, records in fetched.items():
                    end = left[partition].end
                    found += [record_of(r, topic) for r in records if r.offset < end]
                for partition in list(left):
                    if await consumer.position(partition) >= left[partition].end:
                        # Or it would go on fetching.
                        consumer.pause(partition)
                        del left[partition]
        return found

    @asynccontextmanager
    async def _consuming(
        self, topic: str
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        """A consumer and the topic's partitions. Raises `Unavailable`, also when the block takes too long."""
        options = {"auto_offset_reset": "earliest", "fetch_max_wait_ms": _FETCH_MS}
        with translated(self._settings):
            async with (
                asyncio.timeout(_WITHIN_S),
                started_consumer(self._settings, **options) as consumer,
            ):
                yield consumer, list(await partitions_of(consumer, self._settings, [topic]))


async def spans_of(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> dict[int, Span]:
    """The partitions of one topic, each with its first record and its end now."""
    first = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    return {found.partition: Span(first[found], ends[found]) for found in partitions}
