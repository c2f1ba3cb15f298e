"""A log that was mirrored, as docs/runbooks/restored-log.md has it: other offsets, an epoch above them, and the same tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.admin import create_copies
from fanfold.adapters.kafka.clients import make_consumer, make_producer, partitions_of
from fanfold.core.events import PROJECTED_TOPICS
from fanfold.core.settings import Settings
from fanfold.core.topic_settings import OFFSETS_AN_EPOCH
from tests.faults.cluster.test_more_partitions import (
    THRESHOLD,
    differences,
    done,
    history,
    published,
)
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.oracle import Oracle
from tests.support.real_stack import RealStack, read_kafka, real_stack

pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]

HANDLED_AGAIN = 2
"""A mirror knows only roughly what a group has acknowledged, and says rather less."""


async def mirrored(old: Settings, new: Settings) -> dict[tuple[str, int], int]:
    """Copy each partition without the first half of its records, as a mirror that began later has it, and the workers' offsets.

    Returns the number of records in each.
    """
    await create_copies(new)
    consumer, log = make_consumer(old), make_producer(new)
    workers = make_consumer(new, group_id=f"{new.topic_prefix}.fanout")
    for client in (consumer, log, workers):
        await client.start()
    try:
        partitions = await partitions_of(consumer, old, PROJECTED_TOPICS)
        ends = await consumer.end_offsets(list(partitions))
        copied = {}
        for partition, topic in partitions.items():
            there = TopicPartition(f"{new.topic_prefix}.{topic}", partition.partition)
            copied[there] = await copied_half(consumer, log, partition, there, ends[partition])
        workers.assign(list(copied))
        workers.pause(*copied)
        first = new.log_epoch * OFFSETS_AN_EPOCH
        await workers.commit(
            {there: first + max(0, n - HANDLED_AGAIN) for there, n in copied.items()}
        )
        return {(there.topic, there.partition): n for there, n in copied.items()}
    finally:
        for client in (consumer, log, workers):
            await client.stop()


async def copied_half(
    consumer: AIOKafkaConsumer,
    log: AIOKafkaProducer,
    partition: TopicPartition,
    there: TopicPartition,
    end: int,
) -> int:
    consumer.assign([partition])
    consumer.seek(partition, end // 2)
    copied = 0
    while await consumer.position(partition) < end:
        for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, ()):
            await log.send_and_wait(
                there.topic,
                record.value,
                key=record.key,
                partition=there.partition,
                timestamp_ms=record.timestamp,
                headers=list(record.headers),
            )
            copied += 1
    return copied


async def edited(stack: RealStack, post_id: str, content: str) -> None:
    await done(stack.api, "PATCH", f"/posts/{post_id}", "bob", json={"content": content})


async def test_what_is_written_after_a_failover_of_the_log_wins_over_every_earlier_row(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = await prepared(settings_for(engines, pull_threshold=THRESHOLD, overlap_s=0.1))
    after = settings.model_copy(
        update={"topic_prefix": f"{settings.topic_prefix}m", "log_epoch": 1}
    )
    async with real_stack(settings, tmp_path) as stack:
        await history(stack)
        post_id = await published(stack.api, "bob", "as published")
        for n in range(12):
            await edited(stack, post_id, f"edit {n}")
        for _ in range(6):
            for method in ("DELETE", "PUT"):
                await done(stack.api, method, "/users/fan1/following/bob", "fan1")
                await done(stack.api, method, f"/posts/{post_id}/like", "fan0")
        await stack.quiet()
    before = await read_kafka(settings)
    copies = await mirrored(settings, after)
    assert 0 < sum(copies.values()) < len(before)
    await prepared(after)

    async with real_stack(after, tmp_path) as stack:
        await stack.quiet()
        oracle = Oracle(THRESHOLD).fold(before)
        assert await differences(stack, oracle) == []

        await edited(stack, post_id, "after the failover")
        await done(stack.api, "DELETE", "/users/fan1/following/bob", "fan1")
        await done(stack.api, "DELETE", f"/posts/{post_id}/like", "fan0")
        await done(stack.api, "PUT", "/users/fan2/following/bob", "fan2")
        await done(stack.api, "PUT", "/users/bob", "bob", json={"display_name": "Robert"})
        await published(stack.api, "star", "after the failover")
        await stack.quiet()

        post = (await stack.api("GET", f"/posts/{post_id}", actor="fan2")).json()
        assert (post["content"], post["author"], post["like_count"]) == (
            "after the failover",
            "Robert",
            0,
        )
        bob = (await stack.api("GET", "/users/bob", actor="fan2")).json()
        assert bob["follower_count"] == 2
        new = [
            record
            for record in await read_kafka(after)
            if record[2] >= copies[record[0], record[1]]
        ]
        assert await differences(stack, oracle.fold(new)) == []
