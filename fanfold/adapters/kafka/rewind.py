"""Having the workers handle again what the public topics hold: their group goes back to an earlier place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.security import client_security
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics

_ANSWER_S = 30.0
_IN_USE = (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


class Rewound(NamedTuple):
    """One partition: the next offset before and after. `after` is never the higher one."""

    topic: str
    partition: int
    before: int
    after: int

    @property
    def records(self) -> int:
        """How many are handled again, at most: some may be gone from the log."""
        return self.before - self.after


async def rewind(settings: Settings, *, since_ms: int | None, dry_run: bool) -> list[Rewound]:
    """Take the group `<topic_prefix>.fanout` back to what was appended at that time; None: to the first record.

    Idempotent; it never moves forward. Commands stay where they are: what is handled again appends those that it needs.
    Raises `Fault` while a worker is in the group (one that was stopped is for 30 s more), and `Unavailable`.
    """
    prefix = settings.topic_prefix
    at = {
        TopicPartition(f"{prefix}.{topic.name}", n): topic.name
        for topic in load_topics().values()
        if topic.public and "fanout_service" in topic.consumers
        for n in range(topic.partitions)
    }
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{prefix}.fanout",
        enable_auto_commit=False,
        **client_security(settings),
    )
    try:
        async with asyncio.timeout(_ANSWER_S):
            await consumer.start()
            consumer.assign(list(at))
            before = {each: await consumer.committed(each) or 0 for each in at}
            targets = await _targets(consumer, list(at), since_ms)
            after = {each: min(before[each], targets[each]) for each in at}
            if not dry_run:
                await consumer.commit({each: after[each] for each in at})
    except _IN_USE as error:
        raise Fault(
            f"a worker is in the group {prefix}.fanout, or was within the last 30 s: stop all of them first"
        ) from error
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
    finally:
        await consumer.stop()
    return [
        Rewound(at[each], each.partition, before[each], after[each])
        for each in sorted(at)
        if after[each] < before[each]
    ]


async def _targets(
    consumer: AIOKafkaConsumer, at: Sequence[TopicPartition], since_ms: int | None
) -> Mapping[TopicPartition, int]:
    if since_ms is None:
        first: dict[TopicPartition, int] = await consumer.beginning_offsets(at)
        return first
    ends = await consumer.end_offsets(at)
    found = await consumer.offsets_for_times(dict.fromkeys(at, since_ms))
    return {each: found[each].offset if found[each] else ends[each] for each in at}
