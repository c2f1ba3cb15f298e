"""What of the log lacks a copy: asked by an operator."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fanfold.adapters.kafka.clients import started_admin, translated
from fanfold.core.errors import LogUnavailable
from fanfold.core.settings import Settings

_WITHIN_S = 4.0
"""For one broker's answer. A broker that is frozen accepts a connection, and never answers."""
_WORKERS_OFFSETS = "__consumer_offsets"


@dataclass(frozen=True, slots=True)
class LogCopies:
    """The brokers that should hold a copy and are away, by their ids, and the partitions, as `topic/partition`, that have fewer copies in sync than they should."""

    brokers_down: tuple[int, ...]
    under_replicated: tuple[str, ...]


async def read_log_copies(settings: Settings) -> LogCopies:
    """Of our topics and of the topic that keeps the workers' offsets. Raises `Unavailable` if no broker answers."""
    for address in settings.kafka_bootstrap.split(","):
        asked = settings.model_copy(update={"kafka_bootstrap": address.strip()})
        try:
            with translated(asked):
                async with asyncio.timeout(_WITHIN_S), started_admin(asked) as admin:
                    topics = await admin.describe_topics()
                    cluster = await admin.describe_cluster()
        except LogUnavailable:
            continue
        alive = {broker["node_id"] for broker in cluster["brokers"]}
        return copies_of(topics, alive, prefix=settings.topic_prefix)
    raise LogUnavailable(f"Kafka at {settings.kafka_bootstrap} does not answer")


def copies_of(topics: list[dict[str, Any]], alive: set[int], *, prefix: str) -> LogCopies:
    """Summarises the answers of a broker; `alive` are the ids of those that it knows."""
    ours = [
        (topic["topic"], partition)
        for topic in topics
        if topic["topic"] == _WORKERS_OFFSETS or topic["topic"].startswith(f"{prefix}.")
        for partition in topic["partitions"]
    ]
    wanted = {broker for _, partition in ours for broker in partition["replicas"]}
    lacking = [
        (name, partition["partition"])
        for name, partition in ours
        if len(partition["isr"]) < len(partition["replicas"])
    ]
    return LogCopies(
        tuple(sorted(wanted - alive)), tuple(f"{name}/{number}" for name, number in sorted(lacking))
    )
