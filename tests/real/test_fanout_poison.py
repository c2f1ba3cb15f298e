"""Poisonous records on the real broker: each becomes a dead letter, and everything around it is handled."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.core.clock import SystemClock
from fanfold.core.events import DEAD_LETTERS, GRAPH, POSTS, Event, UserFollowed, encode
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.real_stack import lag, ready, service

pytestmark = pytest.mark.real

Headers = list[tuple[str, bytes]]


class Raw(NamedTuple):
    """A record as anybody might write it, and a word of why it can't be handled."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    why: str


def a_follow(follower: str) -> UserFollowed:
    return UserFollowed(follower_id=follower, followee_id="alice", followed_at=datetime.now(UTC))


def raw(event: Event) -> Raw:
    encoded = encode(event, source="test", now_ms=SystemClock().now_ms())
    return Raw(encoded.key, encoded.value, encoded.headers, "")


def poison() -> list[Raw]:
    good = raw(a_follow("eve"))
    times = b'"followed_at": "2026-01-01T00:00:00Z"'
    selfish = b'{"follower_id": "alice", "followee_id": "alice", ' + times + b"}"
    typed = b'{"follower_id": 7, "followee_id": ["alice"], ' + times + b"}"
    # As large as the log takes, so that the letter is larger than that.
    large = b'{"follower_id": "eve", "padding": "' + b"x" * (2**20 - 450) + b'"}'
    return [
        good._replace(value=b"{", why="Undecodable"),
        good._replace(value=b"\xff\xfe\x00", why="Undecodable"),
        good._replace(value=None, why="Undecodable"),
        good._replace(value=typed, why="Undecodable"),
        good._replace(value=large, why="Undecodable"),
        good._replace(headers=[], why="unknown event type"),
        good._replace(headers=[("ce_type", b"fanfold.UserVanished.v1")], why="unknown event type"),
        good._replace(key=None, why="the key"),
        good._replace(key=b"bob", why="the key"),
        good._replace(value=selfish, why="nobody follows oneself"),
    ]


class Letter(NamedTuple):
    origin: tuple[str, int, int]
    reason: str
    value: bytes | None


async def dead_letters(settings: Settings, count: int) -> list[Letter]:
    topic = f"{settings.topic_prefix}.{DEAD_LETTERS}"
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest"
    )
    letters: list[Letter] = []
    async with consumer, asyncio.timeout(60):
        while len(letters) < count:
            records = await consumer.getmany(timeout_ms=1000)
            for record in (record for batch in records.values() for record in batch):
                headers = dict(record.headers)
                origin = (
                    headers["ff_topic"].decode(),
                    int(headers["ff_partition"]),
                    int(headers["ff_offset"]),
                )
                letters.append(Letter(origin, headers["ff_reason"].decode(), record.value))
    return letters


async def test_poison_is_dead_lettered_with_its_origin_and_its_neighbours_are_handled(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = await prepared(settings_for(engines))
    sent: dict[tuple[str, int, int], Raw] = {}
    healthy = [raw(a_follow(f"user-{n}")) for n in range(len(poison()) + 1)]
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, max_request_size=2 * 2**20
    )
    async with producer:
        for good, bad in zip(healthy, [*poison(), None], strict=True):
            for record in (good, bad):
                if record is None:
                    continue
                ack = await producer.send_and_wait(
                    f"{settings.topic_prefix}.{GRAPH}",
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                )
                if record.why:
                    sent[GRAPH, ack.partition, ack.offset] = record
        misplaced = raw(a_follow("eve"))._replace(why="does not belong")
        ack = await producer.send_and_wait(
            f"{settings.topic_prefix}.{POSTS}",
            key=misplaced.key,
            value=misplaced.value,
            headers=misplaced.headers,
        )
        sent[POSTS, ack.partition, ack.offset] = misplaced

    with service("fanout_service", settings, tmp_path) as worker:
        await ready(worker)
        letters = await dead_letters(settings, len(sent))

        async def settled() -> bool:
            return await lag(settings) == 0

        await eventually(settled, within_s=60, what="everything is acknowledged", every_s=0.5)

    assert {letter.origin for letter in letters} == sent.keys()
    for letter in letters:
        assert sent[letter.origin].why in letter.reason
        if "left out" not in letter.reason:
            assert (letter.value or None) == sent[letter.origin].value
    assert sum("left out" in letter.reason for letter in letters) == 1
    async with cassandra_stores(settings, clock=SystemClock()) as stores:
        alice = (await stores.users.get_many(["alice"]))["alice"]
        assert alice.follower_count == len(healthy)
