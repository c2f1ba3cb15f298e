"""Nothing is lost between Kafka and a handler, on the real broker, however the worker ends."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
import orjson
import pytest

from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import COMMANDS, GRAPH, POSTS, DeliverSlice
from fanfold.core.exit_codes import ExitCode
from fanfold.core.settings import Settings
from fanout_service.stream import FaustConsumer
from tests.support.engines import RealEngines
from tests.support.eventually import eventually
from tests.support.faust_worker import AUTHORS, a_worker, append_follows
from tests.support.logs import Seen, a_follow, a_post, followers, own_topics, running

pytestmark = pytest.mark.real

EVENTS = 2000


@pytest.fixture
async def settings(engines: RealEngines) -> AsyncIterator[Settings]:
    async with own_topics(engines, worker_id="worker-1", log_level="error") as settings:
        yield settings


def in_order_for_each_author(handled: list[str]) -> bool:
    """Whether each author's followers came in the order of appending, at their first coming."""
    first = list(dict.fromkeys(handled))
    for author in range(AUTHORS):
        of_author = [follower for follower in first if int(follower) % AUTHORS == author]
        if of_author != sorted(of_author):
            return False
    return True


async def test_nothing_is_lost_when_the_worker_is_killed_again_and_again(
    settings: Settings, tmp_path: Path
) -> None:
    await append_follows(settings, EVENTS)
    with a_worker(settings, tmp_path / "handled") as worker:
        for _ in range(3):
            await worker.progresses()
            await asyncio.sleep(random.uniform(0, 0.7))
            worker.end(signal.SIGKILL)
            worker.start()

        async def all_handled() -> bool:
            return len(set(worker.handled())) == EVENTS

        await eventually(all_handled, within_s=40, what="every event handled")
        assert in_order_for_each_author(worker.handled())


async def test_nothing_is_lost_when_a_second_worker_joins_and_the_first_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    await append_follows(settings, EVENTS)
    appended = EVENTS
    second = settings.model_copy(update={"worker_id": "worker-2"})
    with (
        a_worker(settings, tmp_path / "first") as one,
        a_worker(second, tmp_path / "second") as two,
    ):
        # Work for both, so that the second takes over partitions whose events are in the first one's hands.
        while not (one.handled() and two.handled()):
            await append_follows(settings, 200, first=appended)
            appended += 200
            await asyncio.sleep(0.2)
        one.end(signal.SIGKILL)
        one.start()

        async def all_handled() -> bool:
            return len({*one.handled(), *two.handled()}) == appended

        await eventually(all_handled, within_s=40, what="every event handled")


async def test_a_handler_that_raises_ends_the_process_and_its_batch_comes_again(
    settings: Settings, tmp_path: Path
) -> None:
    await append_follows(settings, 300)
    with a_worker(settings, tmp_path / "handled") as worker:
        await worker.progresses()
        (tmp_path / "handled.fail").touch()
        assert worker.process is not None
        assert await asyncio.to_thread(worker.process.wait, 30) == ExitCode.TRY_AGAIN
        worker.start()

        async def all_handled() -> bool:
            return len(set(worker.handled())) == 300

        await eventually(all_handled, within_s=40, what="every event handled")


async def test_a_worker_asked_to_stop_acknowledges_what_it_has_done_and_nothing_comes_again(
    settings: Settings, tmp_path: Path
) -> None:
    await append_follows(settings, EVENTS)
    with a_worker(settings, tmp_path / "handled") as worker:
        await worker.progresses()
        started_s = time.monotonic()
        assert await asyncio.to_thread(worker.end, signal.SIGTERM) == 0
        assert time.monotonic() - started_s < 8
        worker.start()

        async def all_handled() -> bool:
            return len(set(worker.handled())) == EVENTS

        await eventually(all_handled, within_s=40, what="every event handled")
        assert len(worker.handled()) == EVENTS


async def test_slices_that_do_not_move_hold_no_post_back(settings: Settings) -> None:
    waiting, posts = asyncio.Event(), Seen()
    slice_of = a_post()
    blocked = asyncio.Event()

    async def wait(records: object) -> None:
        blocked.set()
        await waiting.wait()

    consumer = FaustConsumer(settings, leave=lambda status: None)
    async with (
        KafkaLog(settings, clock=SystemClock(), source="test") as log,
        running(consumer, {POSTS: posts, COMMANDS: wait}),
    ):
        # More than all the buffers on the way hold.
        for _ in range(4):
            await log.append_many(
                [
                    DeliverSlice(
                        post_id=slice_of.post_id, author_id="bob", generation=3, bucket=bucket
                    )
                    for bucket in range(4096)
                ]
                * 2
            )
        try:
            await blocked.wait()
            await log.append(a_post())
            await posts.until(1)
            assert sum(at.records for at in consumer.lag() if at.topic == COMMANDS) > 0
            await log.append(a_post())
            await posts.until(2)
        finally:
            waiting.set()


async def test_lag_falls_to_nothing_once_all_is_acknowledged(settings: Settings) -> None:
    await append_follows(settings, 100)
    seen = Seen()
    consumer = FaustConsumer(settings, leave=lambda status: None)
    assert consumer.lag() == []
    async with running(consumer, {GRAPH: seen}):
        while not seen.records:
            consumer.lag()  # Never fails, however far the start has come.
            await asyncio.sleep(0.001)
        await seen.until(100)

        async def none() -> bool:
            lag = consumer.lag()
            return sum(at.committed for at in lag) == 100 and not any(at.records for at in lag)

        await eventually(none, within_s=30, what="no lag")
    assert consumer.lag() == []


async def test_control_a_plain_faust_agent_loses_the_events_whose_handler_raised(
    settings: Settings,
) -> None:
    """The reason for `fanout_service.stream`. If this fails, a new Faust has mended it: judge again what we need.

    A plain agent raises once for each of three of 60 events, as if the database had been away for a moment. Faust
    acknowledges them, and neither this process nor the next ever sees them again.
    """
    failing = {f"{n:05}" for n in (3, 20, 21)}
    to_raise = set(failing)
    handled: list[str] = []

    async def handle(follower: str) -> None:
        if follower in to_raise:
            to_raise.remove(follower)
            raise ConnectionError
        handled.append(follower)

    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        app = _plain_faust(settings, handle)
        await app.start()
        for n in range(60):
            await log.append(a_follow(of=f"author-{n % AUTHORS}", by=f"{n:05}"))
        await eventually(
            _holds(lambda: len(handled) == 60 - len(failing)), within_s=30, what="all but three"
        )
        await app.stop()

        again = Seen()
        async with running(FaustConsumer(settings, leave=lambda status: None), {GRAPH: again}):
            await log.append(a_follow(by="99999"))
            assert followers(await again.until(1)) == ["99999"]

    assert not failing & set(handled)


def _plain_faust(settings: Settings, handle: Callable[[str], Awaitable[None]]) -> Any:
    app: Any = faust.App(
        f"{settings.topic_prefix}.fanout",
        broker=f"kafka://{settings.kafka_bootstrap}",
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
    )
    app._create_directories = lambda: None
    topic = app.topic(f"{settings.topic_prefix}.{GRAPH}", key_type=bytes, value_type=bytes)

    async def plain(stream: Any) -> None:
        async for event in stream.events():
            await handle(orjson.loads(event.value)["follower_id"])

    app.agent(topic)(plain)
    return app


def _holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return condition()

    return holds
