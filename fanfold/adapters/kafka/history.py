"""The log's records for a replay: each partition from its first record to an end, by a consumer without a group."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.clients import partitions_of, started_consumer, translated
from fanfold.adapters.kafka.log_view import spans_of
from fanfold.adapters.kafka.records import record_of
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.core.settings import Settings

_FETCH_MS = 500


class KafkaHistory:
    """Each call opens a connection of its own, so that partitions can be read side by side. Raises `Unavailable`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """The partitions of a topic, each with its first record and its end now."""
        with translated(self._settings):
            async with started_consumer(self._settings) as consumer:
                partitions = await partitions_of(consumer, self._settings, [topic])
                return await spans_of(consumer, list(partitions))

    async def batches(
        self, topic: str, partition: int, span: Span, *, size: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        """The records of a span in order, in batches of this size; the last may be smaller."""
        found = TopicPartition(f"{self._settings.topic_prefix}.{topic}", partition)
        with translated(self._settings):
            async with started_consumer(self._settings, auto_offset_reset="none") as consumer:
                consumer.assign([found])
                consumer.seek(found, span.first)
                batch: list[Record] = []
                before, quiet_ms = span.first, 0
                while (offset := await consumer.position(found)) < span.end:
                    # A client waits without an error for brokers that have gone.
                    quiet_ms = quiet_ms + _FETCH_MS if offset == before else 0
                    if quiet_ms > 1000 * self._settings.retry_budget_s:
                        raise TimeoutError(f"no record of {topic}/{partition} since {offset}")
                    before = offset
                    # No more than the batch lacks, so that a batch is the same however fast the records come.
                    fetched = await consumer.getmany(
                        found, timeout_ms=_FETCH_MS, max_records=size - len(batch)
                    )
                    records = fetched.get(found, ())
                    batch += [record_of(r, topic) for r in records if r.offset < span.end]
                    if len(batch) == size:
                        yield batch
                        batch = []
                if batch:
                    yield batch
