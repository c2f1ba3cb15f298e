"""Kafka's topics: created from `schemas/topics.yaml`, checked, never repartitioned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from fanfold.adapters.kafka.clients import started_admin, translated
from fanfold.core.errors import Fault
from fanfold.core.settings import MS_PER_DAY, Settings
from fanfold.core.topics import Topic, load_topics

_USABLE_WITHIN_S = 30.0
_POLL_S = 0.05
_DATED_BY = "message.timestamp.type"


async def apply_topics(settings: Settings) -> list[str]:
    """Make Kafka's topics agree with `schemas/topics.yaml`. Returns what it did, a line a topic; idempotent.

    Returns when every partition has a leader. Raises `Fault` when a topic exists with another number of
    partitions, before anything is changed, and `Unavailable`.
    """
    declared = load_topics()
    async with _admin(settings) as admin:
        counts = await _counts(admin, settings)
        _refuse_other_counts(settings, counts)
        missing = [topic for topic in declared.values() if topic.name not in counts]
        await _create(admin, settings, missing)
        existing = [topic for topic in declared.values() if topic.name in counts]
        changed = [line for topic in existing for line in await _configure(admin, settings, topic)]
        await _usable(admin, settings, declared)
    created = [
        f"created {settings.topic_prefix}.{topic.name} with {topic.partitions[settings.partitions]} partitions"
        for topic in missing
    ]
    return created + changed


async def create_copies(settings: Settings) -> dict[str, int]:
    """Create the missing projected topics for a copy of their records, which keep the time that the copy gives them, until `apply_topics`.

    Idempotent. Returns the number of partitions of each, by logical name. Raises `Fault` when a topic was not made for a copy, or has another
    number of partitions, and `Unavailable`.
    """
    projected = {topic.name: topic for topic in load_topics().values() if topic.projected}
    async with _admin(settings) as admin:
        counts = await _counts(admin, settings)
        _refuse_other_counts(settings, counts)
        missing = [topic for topic in projected.values() if topic.name not in counts]
        await _create(admin, settings, missing, **{_DATED_BY: "CreateTime"})
        await _usable(admin, settings, projected)
        for topic in projected:
            if (await _config_of(admin, f"{settings.topic_prefix}.{topic}", [_DATED_BY]))[
                _DATED_BY
            ] != "CreateTime":
                raise Fault(
                    f"{settings.topic_prefix}.{topic} is in use: name a prefix that no topic has"
                )
    return {name: topic.partitions[settings.partitions] for name, topic in projected.items()}


async def partition_counts(settings: Settings) -> dict[str, int]:
    """The number of partitions of each of our topics that exists, by logical name. Raises `Unavailable`."""
    async with _admin(settings) as admin:
        return await _counts(admin, settings)


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    with translated(settings):
        async with started_admin(settings) as admin:
            yield admin


async def _described(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, Any]:
    prefix = f"{settings.topic_prefix}."
    # All topics: asking for one by name makes a broker with auto-creation create it.
    return {
        found["topic"].removeprefix(prefix): found["partitions"]
        for found in await admin.describe_topics()
        if found["topic"].startswith(prefix)
    }


async def _counts(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, int]:
    declared = load_topics()
    described = await _described(admin, settings)
    return {name: len(found) for name, found in described.items() if name in declared}


def _refuse_other_counts(settings: Settings, counts: Mapping[str, int]) -> None:
    declared = load_topics()
    for name, count in counts.items():
        if name in declared and count != declared[name].partitions[settings.partitions]:
            raise Fault(
                f"{settings.topic_prefix}.{name} has {count} partitions, schemas/topics.yaml with FANFOLD_PARTITIONS="
                f"{settings.partitions} says {declared[name].partitions[settings.partitions]}. The number is fixed for life, "
                "because every table is ordered by offsets within a partition: restore it in the setting or the file, or "
                "make a new topic and replay into it."
            )


def _configs(settings: Settings, topic: Topic) -> dict[str, str]:
    kept_ms = topic.retention_ms
    tiered: dict[str, str] = {}
    if topic.projected:
        if settings.log_days is not None:
            kept_ms = settings.log_days * MS_PER_DAY
        if settings.log_local_days is not None:
            local_ms = str(settings.log_local_days * MS_PER_DAY)
            tiered = {"remote.storage.enable": "true", "local.retention.ms": local_ms}
    return {
        **tiered,
        "cleanup.policy": "delete",
        _DATED_BY: "LogAppendTime",
        "compression.type": settings.compression,
        "retention.ms": str(kept_ms),
        "retention.bytes": "-1",
        # With three replicas an acknowledged event is on two of them, so one broker may be down.
        "min.insync.replicas": "2" if settings.kafka_replication >= 3 else "1",
    }


async def _create(
    admin: AIOKafkaAdminClient, settings: Settings, topics: list[Topic], **otherwise: str
) -> None:
    if not topics:
        return
    response = await admin.create_topics(
        [
            NewTopic(
                f"{settings.topic_prefix}.{topic.name}",
                topic.partitions[settings.partitions],
                settings.kafka_replication,
                topic_configs={**_configs(settings, topic), **otherwise},
            )
            for topic in topics
        ]
    )
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        # Another operator may have created it at the same moment.
        if code and error is not TopicAlreadyExistsError:
            raise Fault(f"{name} can't be created: {error.__name__} {message}")


async def _configure(admin: AIOKafkaAdminClient, settings: Settings, topic: Topic) -> Iterable[str]:
    wanted = _configs(settings, topic)
    physical = f"{settings.topic_prefix}.{topic.name}"
    has = await _config_of(admin, physical, wanted)
    changes = [
        f"{key} {has.get(key)} -> {value}" for key, value in wanted.items() if has.get(key) != value
    ]
    if not changes:
        return []
    (altered,) = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, physical, wanted)]
    )
    code, message, *_ = altered.resources[0]
    if code:
        raise Fault(f"{physical} can't be configured: {for_code(code).__name__} {message}")
    return [f"configured {physical}: {', '.join(changes)}"]


async def _config_of(
    admin: AIOKafkaAdminClient, physical: str, names: Iterable[str]
) -> dict[str, str]:
    (answer,) = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, physical, dict.fromkeys(names, ""))]
    )
    code, message, _, _, entries = answer.resources[0]
    if code:
        raise Fault(f"{physical} can't be described: {for_code(code).__name__} {message}")
    return {entry[0]: entry[1] for entry in entries}


async def _usable(
    admin: AIOKafkaAdminClient, settings: Settings, declared: Mapping[str, Topic]
) -> None:
    async with asyncio.timeout(_USABLE_WITHIN_S):
        while True:
            described = await _described(admin, settings)
            # Checked again: another operator may have created a topic in the meantime.
            _refuse_other_counts(
                settings, {name: len(found) for name, found in described.items() if found}
            )
            if all(
                len(described.get(topic.name, ())) == topic.partitions[settings.partitions]
                and all(partition["leader"] >= 0 for partition in described[topic.name])
                for topic in declared.values()
            ):
                return
            await asyncio.sleep(_POLL_S)
