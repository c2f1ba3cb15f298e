"""The workers' lag in one topic, asked again and again over the same connections, from outside their group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.group import acknowledged
from fanfold.adapters.kafka.security import client_security
from fanfold.core.errors import Unavailable
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics


class GroupLag:
    """An async context manager. Entering and every call raise `Unavailable` within the request timeout."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._partitions = [
            TopicPartition(f"{settings.topic_prefix}.{topic}", n)
            for n in range(load_topics()[topic].partitions)
        ]

    async def __aenter__(self) -> Self:
        bootstrap = self._settings.kafka_bootstrap
        security = client_security(self._settings)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **security)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, **security
        )
        try:
            with self._translated():
                async with self._timeout():
                    await self._admin.start()
                    await self._consumer.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def cluster(self) -> str:
        """The id that the cluster was formatted with."""
        with self._translated():
            async with self._timeout():
                return str((await self._admin.describe_cluster())["cluster_id"])

    async def ends(self) -> list[int]:
        """How many records each partition has had."""
        with self._translated():
            async with self._timeout():
                ends = await self._consumer.end_offsets(self._partitions)
        return [ends[partition] for partition in self._partitions]

    async def unhandled(self, ends: list[int]) -> int:
        """How many records before these ends the group has not acknowledged."""
        with self._translated():
            async with self._timeout():
                done = await acknowledged(self._admin, self._settings)
        return sum(
            max(0, end - done.get(partition, 0))
            for end, partition in zip(ends, self._partitions, strict=True)
        )

    def _timeout(self) -> asyncio.Timeout:
        return asyncio.timeout(self._settings.request_timeout_s)

    async def _close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unavailable(f"Kafka at {self._settings.kafka_bootstrap}: {error!r}") from error
