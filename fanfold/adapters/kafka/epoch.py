"""Offsets as everything but Kafka sees them: the log's epoch above the broker's own number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp, TopicPartition

from fanfold.core.topic_settings import OFFSETS_AN_EPOCH, TopicSettings


def first_offset(settings: TopicSettings) -> int:
    """What the broker's offset 0 is in this epoch of the log."""
    return settings.log_epoch * OFFSETS_AN_EPOCH


class EpochConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A consumer whose every offset has the epoch above it: those of records, of positions, of ends, and those that it commits.

    An offset of an earlier epoch is before the first record.
    """

    def __init__(self, *, first: int, **options: Any) -> None:
        super().__init__(**options)
        self._first = first

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> dict[Any, list[Any]]:
        fetched: dict[Any, list[Any]] = await super().getmany(*partitions, **options)
        if self._first:
            for records in fetched.values():
                for record in records:
                    record.offset += self._first
        return fetched

    def seek(self, partition: TopicPartition, offset: int) -> None:
        super().seek(partition, self._at_broker(offset))

    async def position(self, partition: TopicPartition) -> int:
        return int(await super().position(partition)) + self._first

    def highwater(self, partition: TopicPartition) -> int | None:
        end = super().highwater(partition)
        return None if end is None else end + self._first

    async def committed(self, partition: TopicPartition) -> int | None:
        offset = await super().committed(partition)
        return None if offset is None else offset + self._first

    async def commit(self, offsets: Mapping[TopicPartition, int | OffsetAndMetadata]) -> None:
        noted = {
            partition: OffsetAndMetadata(offset, "") if isinstance(offset, int) else offset
            for partition, offset in offsets.items()
        }
        await super().commit(
            {
                partition: OffsetAndMetadata(self._at_broker(note.offset), note.metadata)
                for partition, note in noted.items()
            }
        )

    async def beginning_offsets(self, partitions: Any) -> dict[TopicPartition, int]:
        return self._above(await super().beginning_offsets(partitions))

    async def end_offsets(self, partitions: Any) -> dict[TopicPartition, int]:
        return self._above(await super().end_offsets(partitions))

    async def offsets_for_times(
        self, timestamps: Any
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        return {
            partition: found and OffsetAndTimestamp(found.offset + self._first, found.timestamp)
            for partition, found in (await super().offsets_for_times(timestamps)).items()
        }

    def _above(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {partition: offset + self._first for partition, offset in offsets.items()}

    def _at_broker(self, offset: int) -> int:
        return max(0, offset - self._first)
