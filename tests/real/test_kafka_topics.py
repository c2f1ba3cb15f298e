"""`topics apply` on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from fanfold.adapters.kafka.admin import apply_topics, partition_counts
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from tests.support.engines import RealEngines, settings_for
from tests.support.eventually import eventually
from tests.support.logs import delete_topics
from tests.support.probes import free_port

pytestmark = pytest.mark.real


@pytest.fixture
async def settings(engines: RealEngines) -> AsyncIterator[Settings]:
    settings = settings_for(engines)
    yield settings
    await delete_topics(settings)


@pytest.fixture
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


async def config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


async def test_applying_creates_the_topics_of_the_file(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    said = await apply_topics(settings)

    assert len(said) == len(load_topics())
    assert await partition_counts(settings) == {
        topic.name: topic.partitions["few"] for topic in load_topics().values()
    }
    for topic in load_topics().values():
        has = await config(admin, f"{settings.topic_prefix}.{topic.name}")
        assert has["message.timestamp.type"] == "LogAppendTime"
        assert has["cleanup.policy"] == "delete"
        assert has["retention.ms"] == str(topic.retention_ms)


async def test_applying_again_does_nothing(settings: Settings) -> None:
    await apply_topics(settings)

    assert await apply_topics(settings) == []


async def test_applying_restores_a_changed_configuration(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await apply_topics(settings)
    topic = f"{settings.topic_prefix}.posts.v1"
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "1000"})]
    )

    async def changed() -> bool:
        return (await config(admin, topic))["retention.ms"] == "1000"

    await eventually(changed, within_s=10, what="the broker has the change")

    async def restored() -> bool:
        return (await config(admin, topic))["retention.ms"] == "-1"

    (said,) = await apply_topics(settings)

    assert "retention.ms 1000 -> -1" in said
    await eventually(restored, within_s=10, what="the broker has it back")


async def test_another_partition_count_is_refused_before_anything_is_created(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await admin.create_topics([NewTopic(f"{settings.topic_prefix}.posts.v1", 3, 1)])

    async def exists() -> bool:
        return "posts.v1" in await partition_counts(settings)

    await eventually(exists, within_s=10, what="the topic exists")

    with pytest.raises(Fault, match=r"posts\.v1 has 3 partitions, .* 12\. .*fixed for life"):
        await apply_topics(settings)

    assert await partition_counts(settings) == {"posts.v1": 3}


async def test_no_broker_is_unavailable(settings: Settings) -> None:
    nobody = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{free_port()}"})

    with pytest.raises(Unavailable):
        await apply_topics(nobody)
