"""Moves the workers' group back to earlier offsets, so that they handle the projected topics again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.clients import partitions_of, started_consumer, translated
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics

_COORDINATOR = logging.getLogger("aiokafka.consumer.group_coordinator")
_WITHIN_S = 30.0
_GROUP_IN_USE = (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


class Rewound(NamedTuple):
    """One partition: its next offset before and after. `after` is never the higher one."""

    topic: str
    partition: int
    before: int
    after: int

    @property
    def records(self) -> int:
        """How many records are handled again, at most: the log may have deleted some."""
        return self.before - self.after


async def rewind(settings: Settings, *, since_ms: int | None, dry_run: bool) -> list[Rewound]:
    """Move the group `<topic_prefix>.fanout` back to the first record appended at or after that time; None: to the first record.

    Idempotent; it never moves a partition forward. Commands are not replayed: the events that are handled again append them.
    Raises `Fault` while a worker is in the group (a stopped one stays for 30 s), and `Unavailable`.
    """
    group = f"{settings.topic_prefix}.fanout"
    with translated(settings):
        try:
            async with (
                asyncio.timeout(_WITHIN_S),
                started_consumer(settings, group_id=group) as consumer,
            ):
                topics = await partitions_of(consumer, settings, _projected_topics())
                partitions = list(topics)
                consumer.assign(partitions)
                before = {
                    partition: await consumer.committed(partition) or 0 for partition in partitions
                }
                targets = await _targets(consumer, partitions, since_ms)
                after = {
                    partition: min(before[partition], targets[partition])
                    for partition in partitions
                }
                if not dry_run:
                    # The client logs a refusal once for each partition. The Fault below says it, with what to do.
                    _COORDINATOR.setLevel(logging.CRITICAL)
                    await consumer.commit(after)
        except _GROUP_IN_USE as error:
            raise Fault(
                f"a worker is in the group {group}, or was within the last 30 s: stop all of them first"
            ) from error
    return [
        Rewound(topics[partition], partition.partition, before[partition], after[partition])
        for partition in sorted(partitions)
        if after[partition] < before[partition]
    ]


def _projected_topics() -> list[str]:
    return [
        topic.name
        for topic in load_topics().values()
        if topic.projected and "fanout_service" in topic.consumers
    ]


async def _targets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], since_ms: int | None
) -> Mapping[TopicPartition, int]:
    if since_ms is None:
        first: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
        return first
    ends = await consumer.end_offsets(partitions)
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    return {
        partition: found[partition].offset if found[partition] else ends[partition]
        for partition in partitions
    }
