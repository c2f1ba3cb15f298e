"""Converts aiokafka's records to those of the port."""

from __future__ import annotations

from aiokafka.structs import ConsumerRecord

from fanfold.core.ports.log import Record


def record_of(record: ConsumerRecord[bytes, bytes], topic: str) -> Record:
    """The record, under the topic's logical name."""
    return Record(
        topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        dict(record.headers),
        record.timestamp,
    )
