"""Both logs and both consumers for the contract suites, and the events that those suites append."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fanfold.adapters.sqlite.consumer import SqliteConsumer
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.core.clock import SystemClock
from fanfold.core.errors import LogUnavailable
from fanfold.core.events import GRAPH, PostCreated, UserFollowed
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports.log import BatchHandler, Consumer, EventLog, Record, Tail
from fanfold.core.ports.log_view import Backlog, LogView, Span
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, settings_for

STACKS = ["sqlite", pytest.param("kafka", marks=pytest.mark.real)]
WITHIN_S = 40


@dataclass(frozen=True)
class LogUnderTest:
    """An open log, new members of its consumer group, with batches of at most that many events, and an operator's view of it.

    By the types here mypy checks that both adapters satisfy `EventLog`, `Consumer` and `LogView`.
    """

    log: EventLog
    consumer: Callable[[int], Consumer]
    view: LogView
    first: int = 0
    """The offset of the first record of each partition."""


class NoLogView:
    """A `LogView` of a log that is away."""

    name = "the log"

    replays = False

    async def spans(self, topic: str, *, until_ms: int | None = None) -> dict[int, Span]:
        raise LogUnavailable(f"away, and {topic} with it")

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        raise LogUnavailable(f"away, and {topic} with it")

    async def backlog(self, *, most_commands: int) -> Backlog:
        raise LogUnavailable(f"away, and {most_commands} commands with it")


def log_under_test(
    stack: str, request: pytest.FixtureRequest, path: Path
) -> AbstractAsyncContextManager[LogUnderTest]:
    if stack == "sqlite":
        return _sqlite(path)
    return _kafka(request.getfixturevalue("engines"))


@asynccontextmanager
async def _sqlite(path: Path) -> AsyncIterator[LogUnderTest]:
    clock = SystemClock()
    async with SqliteLog(path / "log.db", clock=clock, source="test") as log:
        yield LogUnderTest(
            log, lambda n: SqliteConsumer(log, clock=clock, take_events=n), SqliteLogView(log)
        )


@asynccontextmanager
async def _kafka(engines: RealEngines) -> AsyncIterator[LogUnderTest]:
    from fanfold.adapters.kafka.epoch import first_offset
    from fanfold.adapters.kafka.log import KafkaLog
    from fanfold.adapters.kafka.log_view import KafkaLogView
    from fanout_service.stream import FaustConsumer

    # In a later epoch, so that an offset of the broker that is taken for one of the log shows.
    async with own_topics(engines, worker_id="worker-1", log_epoch=3) as settings:

        def consumer(take_events: int) -> Consumer:
            chosen = settings.model_copy(update={"take_events": take_events})
            return FaustConsumer(chosen, leave=lambda status: None)

        async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
            yield LogUnderTest(log, consumer, KafkaLogView(settings), first_offset(settings))


@asynccontextmanager
async def own_topics(engines: RealEngines, **overrides: Any) -> AsyncIterator[Settings]:
    """Settings with topics of their own."""
    from fanfold.adapters.kafka.admin import apply_topics

    settings = settings_for(engines, **overrides)
    await apply_topics(settings)
    try:
        yield settings
    finally:
        await delete_topics(settings)


async def delete_topics(settings: Settings) -> None:
    """What a test of Kafka does last: a small broker can't carry the partitions of them all."""
    from aiokafka.admin import AIOKafkaAdminClient

    from fanfold.adapters.kafka.admin import partition_counts

    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await admin.delete_topics(
        [f"{settings.topic_prefix}.{topic}" for topic in await partition_counts(settings)]
    )
    await admin.close()


def a_follow(*, of: str = "bob", by: str = "alice") -> UserFollowed:
    at = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    return UserFollowed(followee_id=of, follower_id=by, followed_at=at)


def a_post(*, by: str = "bob", content: str = "hello") -> PostCreated:
    post_id = new_post_id(SystemClock().now_ms())
    at = datetime.fromtimestamp(created_at_ms(post_id) / 1000, UTC)
    return PostCreated(post_id=post_id, author_id=by, content=content, created_at=at)


def followers(records: Sequence[Record]) -> list[str]:
    """The followers, in the order of the records."""
    return [event.follower_id for r in records if isinstance(event := r.event(), UserFollowed)]


async def read(tail: Tail, count: int) -> list[Record]:
    """The next records of a tail: `count` of them or more."""
    records: list[Record] = []
    async with asyncio.timeout(WITHIN_S):
        while len(records) < count:
            records += await tail.read()
    return records


async def everything(
    log: EventLog, count: int, topics: Sequence[str] = (GRAPH,), *, since_ms: int = 0
) -> list[Record]:
    """All records of the topics, when there are so many; a moment longer, to see if there are more."""
    async with log.tail(topics, since_ms=since_ms) as tail:
        records = await read(tail, count)
        return [*records, *await tail.read()]


class Seen:
    """A handler that keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self._grown = asyncio.Event()

    async def __call__(self, records: Sequence[Record]) -> None:
        self.batches.append(list(records))
        self._grown.set()

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]

    async def until(self, count: int) -> list[Record]:
        """The records, when there are at least so many."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.records) < count:
                self._grown.clear()
                await self._grown.wait()
        return self.records


@asynccontextmanager
async def running(
    consumer: Consumer, handlers: Mapping[str, BatchHandler]
) -> AsyncIterator[asyncio.Task[None]]:
    """The consumer at work; stopped at the end, unless it has stopped itself."""
    task = asyncio.create_task(consumer.run(handlers))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
