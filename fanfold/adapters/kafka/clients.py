"""The one place that makes Kafka clients: address, security, and the translation of their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka.epoch import EpochConsumer, first_offset
from fanfold.adapters.kafka.security import client_security
from fanfold.core.errors import LogUnavailable
from fanfold.core.settings import Settings

# A start or stop whose caller is cancelled has this long to end by itself.
_ENDS_S = 2.0


def make_consumer(settings: Settings, **options: Any) -> AIOKafkaConsumer:
    """A consumer, not started, that commits only when it is told to. Raises `Fault` for a certificate or key it can't use."""
    consumer = EpochConsumer(
        first=first_offset(settings),
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
        **client_security(settings),
        **options,
    )
    consumer.start = _whole(consumer.start)
    consumer.stop = _whole(consumer.stop)
    return consumer


def make_producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer, not started, with `acks=all`. Raises `Fault` like `make_consumer`."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        enable_idempotence=True,
        acks="all",
        **client_security(settings),
        **options,
    )
    producer.start = _whole(producer.start)
    producer.stop = _whole(producer.stop)
    producer.client.close = _whole(producer.client.close)
    return producer


@asynccontextmanager
async def started_consumer(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that is stopped at the end of the block. Raises aiokafka's errors: see `translated`."""
    consumer = make_consumer(settings, **options)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def started_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client that is closed at the end of the block. Raises aiokafka's errors: see `translated`."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap, **client_security(settings)
    )
    admin.start = _whole(admin.start)
    admin.close = _whole(admin.close)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def partitions_of(
    consumer: AIOKafkaConsumer, settings: Settings, topics: Collection[str]
) -> dict[TopicPartition, str]:
    """Every partition of these topics, each with its logical topic, as Kafka has them: a process need not know how many were chosen.

    Raises aiokafka's errors, and `Unavailable` while one of the topics does not exist.
    """
    # All topics: asking for one by name makes a broker with auto-creation create it.
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001
    numbers = {
        topic: cluster.partitions_for_topic(f"{settings.topic_prefix}.{topic}") for topic in topics
    }
    missing = sorted(topic for topic, found in numbers.items() if not found)
    if missing:
        raise LogUnavailable(f"no such topics: {missing}; run `fanfold topics apply`")
    return {
        TopicPartition(f"{settings.topic_prefix}.{topic}", number): topic
        for topic, found in numbers.items()
        for number in sorted(found)
    }


def _whole(step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """This step of a client, with the cancellation of its caller delayed until it has ended.

    aiokafka forgets a connection that it opens when it is cancelled: nothing closes it until it is garbage. And its
    closing takes the cancellation for that of its own tasks: the caller, if it is a loop, would never end.
    """

    async def whole() -> None:
        running = asyncio.ensure_future(step())
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running}, timeout=_ENDS_S)
            if not running.done():
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise

    return whole


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Raise `Unavailable` for what a client raises when Kafka doesn't answer."""
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise LogUnavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
