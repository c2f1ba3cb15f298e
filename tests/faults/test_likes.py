"""A post that a thousand like within seconds, on the real engines, while the worker is killed: the count is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import Event
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.fanout import a_like, a_post, an_unlike
from tests.support.real_stack import lag, ready, service
from tests.support.stores import like_count

pytestmark = pytest.mark.real

LIKERS = [f"fan-{n}" for n in range(1000)]
FICKLE = LIKERS[::4]


async def test_a_thousand_likes_of_one_post_are_counted_once_each_though_the_worker_is_killed(
    engines: RealEngines, tmp_path: Path
) -> None:
    # Small batches, so that there are many places to die at.
    settings = await prepared(settings_for(engines, take_events=50, worker_id="one"))
    clock = SystemClock()
    now_ms = clock.now_ms()
    post = a_post(ms=now_ms)
    async with (
        KafkaLog(settings, clock=clock, source="test") as log,
        cassandra_stores(settings, clock=clock) as stores,
    ):

        async def counted() -> bool:
            return (await like_count(stores.likes, post.post_id)).offset is not None

        async def settled() -> bool:
            return await lag(settings) == 0

        likes: Sequence[Event] = [a_like(post, name, ms=now_ms) for name in LIKERS]
        unlikes: Sequence[Event] = [an_unlike(post, name, ms=now_ms) for name in FICKLE]
        with ExitStack() as first:
            worker = first.enter_context(service("fanout_service", settings, tmp_path))
            await ready(worker)
            # Each second like comes twice, as from a client that didn't hear the answer.
            await log.append_many([post, *likes, *likes[::2], *unlikes])
            await eventually(counted, within_s=60, what="the worker is counting")
            worker.kill()
        with ExitStack() as second:
            await ready(second.enter_context(service("fanout_service", settings, tmp_path)))
            await eventually(settled, within_s=90, what="everything is acknowledged", every_s=0.5)

        count = await like_count(stores.likes, post.post_id)
        assert count.likes == len(LIKERS) - len(FICKLE)
        judged = await stores.likes.of_post(post.post_id, LIKERS)
        assert {name for name, like in judged.items() if not like.active} == set(FICKLE)
        recent = await asyncio.gather(*(stores.likes.recent(name, limit=5) for name in LIKERS))
        assert {name for name, page in zip(LIKERS, recent, strict=True) if page} == {*LIKERS} - set(
            FICKLE
        )
