"""How the group shares out the partitions among workers: by the broker's own group protocol, with the consumers that Faust makes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import TopicPartition

from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from fanout_service.share_partitions import RoundRobin
from fanout_service.stream import FaustConsumer
from tests.support.engines import RealEngines
from tests.support.eventually import eventually
from tests.support.logs import own_topics

pytestmark = pytest.mark.real

CONSUMED = {
    name: topic.partitions["many"]
    for name, topic in load_topics().items()
    if "fanout_service" in topic.consumers
}
KEYS = [f"user-{n}".encode() for n in range(2000)]


async def test_any_number_of_workers_all_get_work_of_every_kind(engines: RealEngines) -> None:
    async with own_topics(engines, partitions="many") as settings:
        for workers in (1, 3, 13, 40):
            async with members(settings, workers) as assigned:
                shares_are_even(settings, assigned)
                no_two_topics_are_bound(settings, assigned)


async def test_topics_with_equal_partition_counts_would_be_bound(engines: RealEngines) -> None:
    """So the test above can fail."""
    async with own_topics(engines, partitions="few") as settings, members(settings, 3) as assigned:
        with pytest.raises(AssertionError, match="of the keys have the same worker"):
            no_two_topics_are_bound(settings, assigned)


def shares_are_even(settings: Settings, assigned: Sequence[set[TopicPartition]]) -> None:
    """Each worker has as many partitions as the others, of each topic and in all, or one more."""
    for topic, partitions in CONSUMED.items():
        name = f"{settings.topic_prefix}.{topic}"
        shares = [sum(partition.topic == name for partition in own) for own in assigned]
        assert sum(shares) == partitions, topic
        assert 1 <= min(shares) <= max(shares) <= min(shares) + 1, topic
    totals = [len(own) for own in assigned]
    assert max(totals) - min(totals) <= 1


def no_two_topics_are_bound(settings: Settings, assigned: Sequence[set[TopicPartition]]) -> None:
    """A user's events in two topics have the same worker hardly more often than by chance."""
    worker_of = {partition: n for n, own in enumerate(assigned) for partition in own}
    counts = {
        topic: sum(at.topic == f"{settings.topic_prefix}.{topic}" for at in worker_of)
        for topic in CONSUMED
    }
    partition_of = DefaultPartitioner()

    def workers(topic: str) -> list[int]:
        numbers = list(range(counts[topic]))
        chosen = (partition_of(key, numbers, numbers) for key in KEYS)
        return [worker_of[TopicPartition(f"{settings.topic_prefix}.{topic}", n)] for n in chosen]

    found: Mapping[str, list[int]] = {topic: workers(topic) for topic in CONSUMED}
    chance = 1 / len(assigned)
    for one, other in itertools.combinations(found, 2):
        same = sum(a == b for a, b in zip(found[one], found[other], strict=True)) / len(KEYS)
        assert same <= 1.5 * chance + 0.02, (
            f"{one}, {other}: {same:.0%} of the keys have the same worker"
        )


@asynccontextmanager
async def members(settings: Settings, workers: int) -> AsyncIterator[list[set[TopicPartition]]]:
    """That many members of the workers' group, and what each is assigned once all have joined."""
    partitions = sum(load_topics()[topic].partitions[settings.partitions] for topic in CONSUMED)
    async with AsyncExitStack() as stack:
        joined = stack.enter_context(worker_consumers(settings, workers))
        for consumer in joined:
            consumer.subscribe([f"{settings.topic_prefix}.{topic}" for topic in CONSUMED])
            stack.push_async_callback(consumer.stop)
        await asyncio.gather(*(consumer.start() for consumer in joined))

        async def shared_out() -> bool:
            owned = [consumer.assignment() for consumer in joined]
            return sum(map(len, owned)) == len(set().union(*owned)) == partitions and all(owned)

        await eventually(shared_out, within_s=60, what="every partition has one worker")
        yield [consumer.assignment() for consumer in joined]


@contextmanager
def worker_consumers(settings: Settings, workers: int) -> Iterator[list[AIOKafkaConsumer]]:
    """The consumers of so many workers, as Faust makes them in its thread; not started."""

    async def handle(records: Sequence[Record]) -> None:
        raise AssertionError("nothing is consumed")

    app = FaustConsumer(settings)._build(dict.fromkeys(CONSUMED, handle), CONSUMED)
    app.finalize()
    faust_consumer: Any = app.consumer
    thread = faust_consumer._thread
    try:
        consumers = [thread._create_worker_consumer(app.transport) for _ in range(workers)]
        for consumer in consumers:
            assert [type(found) for found in consumer._partition_assignment_strategy] == [
                RoundRobin
            ]
        yield consumers
    finally:
        thread.thread_loop.close()
