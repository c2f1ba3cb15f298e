"""`topics apply` on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from fanfold.adapters.kafka.admin import apply_topics, partition_counts
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from tests.support.engines import RealEngines, settings_for
from tests.support.eventually import eventually
from tests.support.logs import a_post, delete_topics
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

    await eventually(changed, within_s=30, what="the broker has the change")

    async def restored() -> bool:
        return (await config(admin, topic))["retention.ms"] == "-1"

    (said,) = await apply_topics(settings)

    assert "retention.ms 1000 -> -1" in said
    await eventually(restored, within_s=30, what="the broker has it back")


async def test_compression_and_retention_are_settings_of_the_kept_topics(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await apply_topics(settings)
    chosen = settings.model_copy(update={"compression": "zstd", "log_days": 400})

    said = await apply_topics(chosen)

    assert len(said) == len(load_topics())

    async def applied() -> bool:
        kept, commands = [
            await config(admin, f"{settings.topic_prefix}.{topic}")
            for topic in ("engagement.v1", "fanout.commands.v1")
        ]
        return (
            kept["compression.type"] == commands["compression.type"] == "zstd"
            and kept["retention.ms"] == str(400 * 24 * 3600 * 1000)
            and commands["retention.ms"] == str(load_topics()["fanout.commands.v1"].retention_ms)
        )

    await eventually(applied, within_s=30, what="the broker has the change")


async def test_tiered_storage_is_refused_by_brokers_that_have_none(settings: Settings) -> None:
    with pytest.raises(Fault, match=r"can't be created.*[Tt]iered"):
        await apply_topics(settings.model_copy(update={"log_local_days": 7}))


async def test_what_is_appended_is_read_back_however_it_is_compressed(settings: Settings) -> None:
    for compression in ("uncompressed", "lz4", "zstd"):
        await apply_topics(settings.model_copy(update={"compression": compression}))
        async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
            post = a_post(content=f"{compression} " * 50)
            position = await log.append(post)
            assert position is not None
            record = await log.read(position)
        assert record is not None
        assert record.event() == post


async def test_another_partition_count_is_refused_before_anything_is_created(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await admin.create_topics([NewTopic(f"{settings.topic_prefix}.posts.v1", 3, 1)])

    async def exists() -> bool:
        return "posts.v1" in await partition_counts(settings)

    await eventually(exists, within_s=30, what="the topic exists")

    with pytest.raises(Fault, match=r"posts\.v1 has 3 partitions, .* 12\. .*fixed for life"):
        await apply_topics(settings)

    assert await partition_counts(settings) == {"posts.v1": 3}


async def test_no_broker_is_unavailable(settings: Settings) -> None:
    nobody = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{free_port()}"})

    with pytest.raises(Unavailable):
        await apply_topics(nobody)
