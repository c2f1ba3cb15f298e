"""Feeds while a replica of the shared cache takes over, in a cluster and where sentinels watch it; and while only the worker can't reach the cache."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fanfold.adapters.redis.address import CacheUrl
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.adapters.stacks import embedded
from fanfold.adapters.telling_stores import telling
from fanfold.core.cache_keys import feed_key
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ids import new_post_id
from fanfold.core.ports import FollowerEdge, Pointer, Stores
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from feed_service.feed_reader import FeedReader, feed_reader
from tests.support.eventually import eventually
from tests.support.probes import free_port
from tests.support.redis_cluster import ask, running_cluster
from tests.support.redis_node import RedisFromPath
from tests.support.redis_sentinels import watched_redis
from tests.support.stores import add_pulled, fresh, write_edges
from tests.support.switched_address import SwitchedAddress

pytestmark = pytest.mark.real

CLOCK = SystemClock()
AT_ONCE_S = 1.6
"""A second until each reader knows an outage, half of one for what the process remembers, and a little."""

# Enough that each server of a cluster has feeds.
VIEWERS, AUTHORS = 8, 3
MOST_POSTS = 60


@dataclass
class Post:
    """What was written of a post, and when the writes had returned."""

    post_id: UUID
    version: int = 0
    returned: dict[int, float] = field(default_factory=dict)
    deleting: bool = False
    deleted_at_s: float = float("inf")


class World:
    """A worker that writes and tells, and a feed process that is asked meanwhile; they share nothing but the tables and the cache."""

    def __init__(self, worker: Stores, reader: FeedReader, cache: SharedCache) -> None:
        self.worker, self.reader, self.cache = worker, reader, cache
        self.viewers = [fresh("viewer") for _ in range(VIEWERS)]
        self.authors = [fresh("author") for _ in range(AUTHORS)]
        self.star = fresh("star")
        self.posts: list[Post] = []
        self.rng = random.Random(11)
        self.offset = 10
        self.reads = 0
        self.silent = False
        self.missing: list[str] = []

    async def follow(self) -> None:
        for author in (*self.authors, self.star):
            edges = [FollowerEdge(viewer, 0, True, CLOCK.now_ms(), 1, 1) for viewer in self.viewers]
            await write_edges(self.worker, author, edges)
            marks = [(viewer, 1) for viewer in self.viewers]
            await self.worker.follows.mark_materialised(author, marks)

    async def write_one(self) -> None:
        living = [post for post in self.posts if not post.deleting]
        if len(living) < 5 or (len(self.posts) < MOST_POSTS and self.rng.random() < 0.4):
            await self.publish()
        elif self.rng.random() < 0.3:
            await self.delete(self.rng.choice(living))
        else:
            await self.edit(self.rng.choice(living))

    async def publish(self) -> None:
        author = self.rng.choice([*self.authors, self.star])
        post = Post(new_post_id(CLOCK.now_ms()))
        await repeated(lambda: self.worker.posts.create(post.post_id, author, "0"))
        pointer = Pointer(post.post_id, author)
        if author == self.star:
            await repeated(lambda: add_pulled(self.worker, pointer, clock=CLOCK))
        else:
            await repeated(lambda: self.worker.timelines.push([pointer], self.viewers))
        post.returned[0] = time.monotonic()
        self.posts.append(post)

    async def edit(self, post: Post) -> None:
        post.version += 1
        version, now_ms, offset = post.version, CLOCK.now_ms(), self.next_offset()
        await repeated(
            lambda: self.worker.posts.edit(
                post.post_id, str(version), edited_at_ms=now_ms, offset=offset
            )
        )
        post.returned[version] = time.monotonic()

    async def delete(self, post: Post) -> None:
        post.deleting, offset = True, self.next_offset()
        await repeated(lambda: self.worker.posts.delete(post.post_id, offset=offset))
        post.deleted_at_s = time.monotonic()

    def next_offset(self) -> int:
        self.offset += 1
        return self.offset

    async def shown(self, viewer: str) -> dict[UUID, str]:
        page, missing = await self.reader.feeds.page(
            viewer, ranking="chronological", limit=100, cursor=None
        )
        self.missing += missing
        return {item.post_id: item.content or "" for item in page.items}

    async def check_one(self) -> None:
        """A read shows what had returned long enough before it, and nothing that was deleted before that."""
        viewer = self.rng.choice(self.viewers)
        due_s = time.monotonic() - AT_ONCE_S
        posts = list(self.posts)
        shown = await self.shown(viewer)
        self.reads += 1
        for post in posts:
            if post.deleted_at_s < due_s:
                assert post.post_id not in shown, "a deleted post"
            elif not post.deleting and post.returned[0] < due_s:
                assert post.post_id in shown, "a post is missing"
                least = max(n for n, at_s in post.returned.items() if at_s < due_s)
                assert int(shown[post.post_id]) >= least, "an old content"

    async def storm(self, until: asyncio.Event) -> None:
        async def write() -> None:
            while not until.is_set():
                if not self.silent:
                    await self.write_one()
                await asyncio.sleep(0.01)

        async def read() -> None:
            while not until.is_set():
                await self.check_one()
                await asyncio.sleep(0.005)

        await asyncio.gather(write(), read())

    async def equals_the_oracle(self) -> bool:
        held = {post.post_id: str(post.version) for post in self.posts if not post.deleting}
        return all([await self.shown(viewer) == held for viewer in self.viewers])

    async def is_cached(self) -> None:
        """Return once every list is in the cache. A question for marks takes no lease, so it keeps no read from filling one."""
        keys = [*map(feed_key, self.viewers)]

        async def filled() -> bool:
            return all(await self.cache.marks(keys) or [b""])

        await eventually(filled, within_s=60, what="the cache is in use", every_s=0.1)


async def repeated(write: Callable[[], Awaitable[object]]) -> None:
    """As the worker does with a record."""
    while True:
        try:
            await write()
            return
        except Unavailable:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def a_world(
    url: str, directory: Path, *, of_worker: str | None = None
) -> AsyncIterator[World]:
    """The worker may have another address of the cache than the feed process."""
    settings = Settings(cache=url, cache_timeout_s=0.3)
    settings_of_worker = settings.model_copy(update={"cache": of_worker or url})
    async with AsyncExitStack() as stack:
        tables = await stack.enter_async_context(
            embedded(settings, clock=CLOCK, path=directory / "log.sqlite")
        )
        epoch = CacheEpoch(tables.stores.cache_switch, clock=CLOCK, tables=fresh("tables"))
        told, of_feeds = [
            await stack.enter_async_context(redis_shared_cache(own, clock=CLOCK, epoch=known))
            for own, known in ((settings_of_worker, lambda: None), (settings, epoch))
        ]
        worker = telling(tables.stores, told, writer_id="worker", clock=CLOCK)
        engines = Engines(tables.log, tables.stores, of_feeds, epoch)
        reader = await stack.enter_async_context(feed_reader(settings, engines, clock=CLOCK))
        world = World(worker, reader, of_feeds)
        await repeated(told.ping)
        await world.follow()
        yield world


@dataclass
class Servers:
    """The master that a fault meets, its replica, and whether the replica has taken over."""

    url: str
    master: RedisFromPath
    replica: RedisFromPath

    def has_taken_over(self) -> bool:
        return b"role:master" in ask(self.replica, "INFO", "replication")


@pytest.fixture(params=["cluster", "sentinels"])
def servers(request: pytest.FixtureRequest) -> Any:
    with ExitStack() as stack:
        if request.param == "cluster":
            cluster = stack.enter_context(running_cluster(with_replica=True))
            assert cluster.replica is not None
            yield Servers(cluster.url, cluster.masters[0], cluster.replica)
        else:
            watched = stack.enter_context(watched_redis())
            yield Servers(watched.url, watched.first, watched.second)


def send(node: RedisFromPath, number: signal.Signals) -> None:
    assert node.process is not None
    os.kill(node.process.pid, number)


async def until_taken_over(servers: Servers) -> None:
    async def taken_over() -> bool:
        return await asyncio.to_thread(servers.has_taken_over)

    await eventually(taken_over, within_s=30, what="the replica has taken over", every_s=0.1)


@pytest.mark.parametrize("fault", ["killed in silence", "frozen"])
async def test_feeds_stay_right_while_a_replica_takes_over(
    servers: Servers, fault: str, tmp_path: Path
) -> None:
    """Where nothing is written meanwhile, no writer sees the failover: readers alone know that the replica is another server."""
    async with a_world(servers.url, tmp_path) as world:
        for _ in range(5):
            await world.publish()
        ended = asyncio.Event()
        storm = asyncio.create_task(world.storm(ended))
        await world.is_cached()
        await lose_what_is_told_from_now_on(servers)
        told = len(world.posts)
        await eventually(
            lambda: returns(len(world.posts) > told + 3), within_s=30, what="more is told"
        )
        world.silent = fault == "killed in silence"
        await asyncio.sleep(0.1)
        send(servers.master, signal.SIGSTOP if fault == "frozen" else signal.SIGKILL)
        send(servers.replica, signal.SIGCONT)
        assert ask(servers.replica, "DBSIZE") > 0, "what it has is old"
        await until_taken_over(servers)
        # It comes back with what it held, and takes itself for the master for a moment.
        if fault == "frozen":
            send(servers.master, signal.SIGCONT)
        else:
            await asyncio.to_thread(servers.master.restart)
        await world.is_cached()
        await asyncio.sleep(AT_ONCE_S)
        ended.set()
        await storm
        await eventually(world.equals_the_oracle, within_s=AT_ONCE_S, what="equals the oracle")
        assert world.reads > 50
        assert world.missing == [], "the tables had everything"


async def returns(value: bool) -> bool:
    return value


async def lose_what_is_told_from_now_on(servers: Servers) -> None:
    """The replica stands still, without a connection to its master."""
    send(servers.replica, signal.SIGSTOP)
    assert ask(servers.master, "CLIENT", "KILL", "TYPE", "replica") == 1


async def test_feeds_stay_right_while_only_the_worker_cannot_reach_the_cache(
    redis_url: str, tmp_path: Path
) -> None:
    (server,) = CacheUrl.of(Settings(cache=redis_url)).addresses
    async with SwitchedAddress(server.port) as address:
        of_worker = f"redis://127.0.0.1:{address.port}"
        async with a_world(redis_url, tmp_path, of_worker=of_worker) as world:
            for _ in range(5):
                await world.publish()
            ended = asyncio.Event()
            storm = asyncio.create_task(world.storm(ended))
            await world.is_cached()
            address.switch(free_port())
            written = world.offset
            await eventually(
                lambda: returns(world.offset > written + 20), within_s=60, what="writes go on"
            )
            await asyncio.sleep(2 * AT_ONCE_S)
            address.switch(server.port)
            await world.is_cached()
            await asyncio.sleep(AT_ONCE_S)
            ended.set()
            await storm
            await eventually(world.equals_the_oracle, within_s=AT_ONCE_S, what="equals the oracle")
            assert world.missing == [], "the tables had everything"
