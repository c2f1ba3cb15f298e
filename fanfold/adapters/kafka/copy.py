"""Copies the projected topics into new ones with other partitions, while the old ones are in use."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from fanfold.adapters.kafka.admin import create_copies
from fanfold.adapters.kafka.clients import (
    make_producer,
    partitions_of,
    started_consumer,
    translated,
)
from fanfold.adapters.kafka.epoch import first_offset
from fanfold.adapters.kafka.history import KafkaHistory
from fanfold.core.errors import Fault
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.core.settings import Settings

_BATCH = 500
_CUT_OFF = "copying"
"""What the offsets say while a copy runs: after one that was cut off, nobody knows which of its records are there."""
_CREATE_TIME = 0


@dataclass(slots=True)
class Copied:
    """The counts of a copy; `total` is what there was when it began."""

    total: int | None = None
    records: int = 0

    @property
    def done(self) -> int:
        return self.records

    def describe(self) -> str:
        return f"{self.records:,} of {self.total or 0:,} records copied"


async def copy_topics(
    settings: Settings, new: Settings, copied: Copied, show: Callable[[Copied], None]
) -> Mapping[str, int]:
    """Append what the projected topics hold now, and no earlier call has copied, to those under the prefix of `new`.

    Keys, values, headers and append times stay, and so does the order of each topic by append time, and with it that of each key. Returns the
    partitions of each new topic. Raises `Unavailable`, and `Fault` after a call that was cut off: it can't be continued.

    The first call leaves the workers' group of the new topics behind what it has copied: a replay builds the tables of that, as the past.
    """
    topics = await create_copies(new)
    with translated(settings):
        async with (
            started_consumer(settings, group_id=f"{new.topic_prefix}.copy") as offsets,
            _appending(new) as log,
        ):
            left, is_first = await _left(offsets, settings, new, topics)
            copied.total = sum(span.end - span.first for span in left.values())
            await _note(offsets, {found: span.first for found, span in left.items()}, _CUT_OFF)
            for topic in topics:
                async with aclosing(_by_time(settings, topic, left)) as batches:
                    async for batch in batches:
                        await _append(log, f"{new.topic_prefix}.{topic}", batch)
                        copied.records += len(batch)
                        show(copied)
            if is_first:
                await _start_workers_at_the_end(new, topics)
            await _note(offsets, {found: span.end for found, span in left.items()}, "")
    return topics


async def _left(
    offsets: AIOKafkaConsumer, settings: Settings, new: Settings, topics: Collection[str]
) -> tuple[dict[TopicPartition, Span], bool]:
    """What no call has copied, by partition, and whether this is the first call."""
    found = await partitions_of(offsets, settings, topics)
    offsets.assign(list(found))
    offsets.pause(*found)
    # The public call drops the metadata.
    kept = await offsets._coordinator.fetch_committed_offsets(list(found))  # noqa: SLF001
    history = KafkaHistory(settings)
    spans = {topic: await history.spans(topic) for topic in topics}
    if any(note.metadata == _CUT_OFF for note in kept.values()) or (
        # Kafka forgets the offsets of an idle group after a week.
        not kept and not await _are_empty(new, topics)
    ):
        raise Fault(
            f"an earlier copy to {new.topic_prefix} was cut off, or is older than a week: some records may come twice. Name another prefix"
        )
    left = {}
    for partition, topic in found.items():
        span = spans[topic][partition.partition]
        copied = first_offset(settings) + kept[partition].offset if partition in kept else 0
        first = max(span.first, copied)
        left[partition] = Span(first, max(first, span.end))
    return left, not kept


async def _are_empty(settings: Settings, topics: Collection[str]) -> bool:
    history = KafkaHistory(settings)
    spans = [await history.spans(topic) for topic in topics]
    return not any(span.end > span.first for of_topic in spans for span in of_topic.values())


async def _note(
    offsets: AIOKafkaConsumer, positions: Mapping[TopicPartition, int], state: str
) -> None:
    await offsets.commit(
        {found: OffsetAndMetadata(offset, state) for found, offset in positions.items()}
    )


async def _start_workers_at_the_end(settings: Settings, topics: Collection[str]) -> None:
    group = f"{settings.topic_prefix}.fanout"
    async with started_consumer(settings, group_id=group) as workers:
        partitions = list(await partitions_of(workers, settings, topics))
        workers.assign(partitions)
        workers.pause(*partitions)
        await workers.commit(await workers.end_offsets(partitions))


@asynccontextmanager
async def _appending(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = make_producer(settings)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


async def _append(log: AIOKafkaProducer, topic: str, batch: Sequence[Record]) -> None:
    """Each record goes to the partition of its key, as every client of Kafka chooses it."""
    sent = [
        await log.send(
            topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers.items()),
            timestamp_ms=record.appended_at_ms,
        )
        for record in batch
    ]
    for acknowledged in await asyncio.gather(*sent):
        if acknowledged.timestamp_type != _CREATE_TIME:
            raise Fault(f"{topic} was put to use during the copy: name another prefix")


async def _by_time(
    settings: Settings, topic: str, left: Mapping[TopicPartition, Span]
) -> AsyncGenerator[list[Record], None]:
    """The records of all partitions of a topic in the order of their append times, in batches."""
    history = KafkaHistory(settings)
    heads: list[_Head] = []
    batch: list[Record] = []
    async with AsyncExitStack() as open_streams:
        for found, span in left.items():
            if found.topic == f"{settings.topic_prefix}.{topic}" and span.first < span.end:
                stream = history.batches(topic, found.partition, span, size=_BATCH)
                await open_streams.enter_async_context(aclosing(stream))
                await _push(heads, stream, iter(()))
        while heads:
            head = heapq.heappop(heads)
            batch.append(head.record)
            await _push(heads, head.stream, head.rest)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


class _Head(NamedTuple):
    """A partition's next record, and what comes after it."""

    appended_at_ms: int
    partition: int
    record: Record
    rest: Iterator[Record]
    stream: AsyncIterator[Sequence[Record]]


async def _push(
    heads: list[_Head], stream: AsyncIterator[Sequence[Record]], rest: Iterator[Record]
) -> None:
    """Push the next record of this partition, if there is one."""
    record = next(rest, None)
    if record is None:
        # A list, because a tuple breaks `anext`.
        rest = iter(await anext(stream, []))
        record = next(rest, None)
    if record is not None:
        heapq.heappush(heads, _Head(record.appended_at_ms, record.partition, record, rest, stream))
