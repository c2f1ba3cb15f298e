"""A consumer of another team, under the rules of `examples/access/kafka-user.yaml`: it reads its topics, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from aiokafka.protocol.fetch import FetchRequest
from exactly_once import consume
from search import Search

from fanfold.adapters.kafka.security import client_security
from fanfold.core.errors import Unavailable
from fanfold.core.events import UserMuted, from_ms
from fanfold.core.settings import Settings
from tests.support.eventually import eventually
from tests.support.logs import a_post
from tests.support.secured_cluster import Cluster, log_of
from tests.support.secured_engines import ADMIN, allow

EXAMPLE = Path(__file__).parents[3] / "examples" / "access" / "kafka-user.yaml"


@pytest.fixture
async def consumer(cluster: Cluster) -> Settings:
    """The consumer's address and certificate. Its user is created as Strimzi would; again changes nothing."""
    user: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    await allow(cluster.settings(ADMIN, "cassandra"), (user,))
    return cluster.settings(user["metadata"]["name"], "none", request_timeout_s=5)


async def test_it_reads_the_topics_that_its_rules_name(
    cluster: Cluster, consumer: Settings, tmp_path: Path
) -> None:
    async with log_of(cluster.of("post_service")) as log:
        await log.append(a_post(by="sue", content="found by its words"))
    index = Search(tmp_path / "index")
    consuming = asyncio.create_task(
        consume(
            index,
            bootstrap=consumer.kafka_bootstrap,
            group="search-1",
            **client_security(consumer),
        )
    )

    async def found() -> bool:
        if consuming.done():
            await consuming
        return [hit[1] for hit in index.find("words found")] == ["sue"]

    await eventually(found, within_s=60, what="the post is found")
    consuming.cancel()
    await asyncio.wait({consuming})


async def test_it_may_not_read_private_events_or_what_is_internal(
    cluster: Cluster, consumer: Settings
) -> None:
    muted = UserMuted(user_id="sue", target_id="tom", muted_at=from_ms(1_800_000_000_000))
    async with log_of(cluster.of("graph_service")) as log:
        position = await log.append(muted)
    assert position is not None
    assert await answer_to_a_fetch(cluster.of("feed_service"), "ties.v1", position.partition) == 0
    assert await answer_to_a_fetch(consumer, "posts.v1", 0) == 0
    for topic in ("ties.v1", "fanout.commands.v1", "dead-letters.v1", "engagement.v1"):
        answer = await answer_to_a_fetch(consumer, topic, 0)
        assert answer == TopicAuthorizationFailedError.errno, topic


async def answer_to_a_fetch(settings: Settings, topic: str, partition: int) -> int:
    """The broker's error code, asked directly: a client without the right would not even be shown where the partition is."""
    client = AIOKafkaClient(bootstrap_servers=settings.kafka_bootstrap, **client_security(settings))
    try:
        await client.bootstrap()
        partitions = [(partition, 0, 1 << 20)]
        request = FetchRequest(500, 1, 1 << 20, 0, [(f"fanfold.{topic}", partitions)])
        ((_, ((_, code, *_),)),) = (await client.send(client.get_random_node(), request)).topics
        return int(code)
    finally:
        await client.close()


async def test_it_may_not_use_a_group_of_others_or_append(consumer: Settings) -> None:
    reader = AIOKafkaConsumer(
        "fanfold.posts.v1",
        bootstrap_servers=consumer.kafka_bootstrap,
        group_id="fanfold.fanout",
        **client_security(consumer),
    )
    try:
        with pytest.raises(GroupAuthorizationFailedError):
            await started_and_read(reader)
    finally:
        await reader.stop()
    async with log_of(consumer) as log:
        with pytest.raises(Unavailable, match=r"Authorization|TimeoutError"):
            await log.append(a_post(by="mallory"))


async def started_and_read(reader: AIOKafkaConsumer) -> None:
    await reader.start()
    await asyncio.wait_for(reader.getone(), 20)
