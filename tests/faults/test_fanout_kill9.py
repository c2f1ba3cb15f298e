"""`kill -9` of the worker, on the real engines: nothing is lost, nothing comes twice, and the books balance."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.buckets import buckets_up_to
from fanfold.core.clock import SystemClock
from fanfold.core.events import PostCreated, UserFollowed
from fanfold.core.ids import new_post_id
from fanfold.core.ports import Stores
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.real_stack import Service, lag, ready, service

pytestmark = pytest.mark.real

FOLLOWERS = 20_000
BUCKET_FOLLOWERS = 2048
"""So that a post of theirs is cut into 17 slices, and there is much to die in the middle of."""


@dataclass
class World:
    settings: Settings
    directory: Path
    log: KafkaLog
    stores: Stores

    async def follow(self, count: int) -> None:
        now = datetime.now(UTC)
        follows = [
            UserFollowed(follower_id=f"user-{n}", followee_id="alice", followed_at=now)
            for n in range(count)
        ]
        # In portions: one append is one acknowledgement, and has a request's timeout.
        for first in range(0, count, 1000):
            await self.log.append_many(follows[first : first + 1000])

    async def post(self) -> PostCreated:
        now_ms = SystemClock().now_ms()
        post = PostCreated(
            post_id=new_post_id(now_ms),
            author_id="alice",
            content="Hello world!",
            created_at=datetime.fromtimestamp(now_ms / 1000, UTC),
        )
        await self.log.append(post)
        return post

    async def counted(self) -> int:
        users = await self.stores.users.get_many(["alice"])
        return users["alice"].follower_count if "alice" in users else 0

    async def edges(self) -> Counter[str]:
        """How often each active follower is stored."""
        alice = (await self.stores.users.get_many(["alice"]))["alice"]
        buckets = [
            await self.stores.follows.followers("alice", bucket)
            for bucket in buckets_up_to(alice.generation)
        ]
        return Counter(edge.follower_id for bucket in buckets for edge in bucket if edge.active)

    async def delivered(self, post: PostCreated) -> tuple[bool, int, int]:
        """(done, planned, delivered)"""
        plan = await self.stores.jobs.plan(post.post_id)
        if plan is None:
            return False, 0, 0
        done = await self.stores.jobs.slices_done(post.post_id)
        delivered = sum(slice_.delivered for slice_ in done.values())
        return len(done) == plan.slices_total, plan.planned, delivered

    async def quiet(self) -> None:
        async def settled() -> bool:
            return await lag(self.settings) == 0

        await eventually(settled, within_s=60, what="everything is acknowledged", every_s=0.5)

    async def timelines(self) -> Counter[str]:
        """How many posts each reader has, straight from the table."""
        return await asyncio.to_thread(self._timelines)

    def _timelines(self) -> Counter[str]:
        session = connect(self.settings, keyspace=self.settings.cassandra_keyspace)
        try:
            return Counter(row[0] for row in session.execute("SELECT user_id FROM user_timeline"))
        finally:
            session.cluster.shutdown()


class Worker:
    """A worker of a fixed name, that is killed and started again."""

    def __init__(self, world: World, name: str) -> None:
        self._settings = world.settings.model_copy(update={"worker_id": name})
        self._directory = world.directory
        self._life = ExitStack()
        self.running: Service

    async def start(self) -> None:
        self._life.close()
        self.running = self._life.enter_context(
            service("fanout_service", self._settings, self._directory)
        )
        await ready(self.running)

    async def die(self) -> None:
        self.running.kill()
        await self.start()

    def stop(self) -> None:
        self._life.close()


@asynccontextmanager
async def a_world(engines: RealEngines, directory: Path, **overrides: Any) -> AsyncIterator[World]:
    settings = await prepared(settings_for(engines, **overrides))
    clock = SystemClock()
    async with (
        KafkaLog(settings, clock=clock, source="test") as log,
        cassandra_stores(settings, clock=clock) as stores,
    ):
        yield World(settings, directory, log, stores)


async def posts_while_killing(
    world: World, workers: Sequence[Worker], chance: random.Random, *, posts: int
) -> list[PostCreated]:
    made = []
    for _ in range(posts):
        made.append(await world.post())
        # From before the record is read to after its last slice.
        await asyncio.sleep(chance.uniform(0, 1.2))
        await chance.choice(workers).die()
    return made


async def test_each_of_20000_followers_gets_each_post_once_however_often_workers_are_killed(
    engines: RealEngines, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    async with a_world(engines, tmp_path, bucket_followers=BUCKET_FOLLOWERS) as world:
        one, two = Worker(world, "one"), Worker(world, "two")
        try:
            await one.start()
            await world.follow(FOLLOWERS)
            await asyncio.sleep(chance.uniform(0.2, 2))
            await one.die()

            async def all_counted() -> bool:
                return await world.counted() == FOLLOWERS

            await eventually(all_counted, within_s=120, what="all follows are counted", every_s=0.5)

            posts = await posts_while_killing(world, [one], chance, posts=3)
            await two.start()
            posts += await posts_while_killing(world, [one, two], chance, posts=3)
            await world.quiet()
        finally:
            one.stop()
            two.stop()

        assert await world.counted() == FOLLOWERS
        edges = await world.edges()
        assert len(edges) == edges.total() == FOLLOWERS
        for post in posts:
            assert await world.delivered(post) == (True, FOLLOWERS, FOLLOWERS)
        timelines = await world.timelines()
        assert len(timelines) == FOLLOWERS
        assert set(timelines.values()) == {len(posts)}
