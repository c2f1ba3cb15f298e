"""A live feed on a real cache server: it shows what another process writes and tells the cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.adapters.stacks import embedded
from fanfold.adapters.telling_stores import telling
from fanfold.core.clock import SystemClock
from fanfold.core.ids import new_post_id
from fanfold.core.ports import FollowerEdge, Pointer, Stores
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from feed_service.feed_reader import FeedReader, feed_reader
from feed_service.query.items import FeedItem
from tests.support.eventually import eventually
from tests.support.stores import add_pulled, fresh, write_edges

pytestmark = pytest.mark.real

CLOCK = SystemClock()
SOON_S = 10.0
"""A second, and as much again for a machine with other work. By time alone a stream looks every ten."""


def looks(cause: str) -> float:
    labels = {"cause": cause}
    return REGISTRY.get_sample_value("fanfold_feed_stream_looks_total", labels) or 0.0


@dataclass
class Opened:
    """Alice follows Bob and a star. Her live feed is open, and another process writes."""

    reader: FeedReader
    worker: Stores
    alice: str
    bob: str
    star: str
    shown: dict[UUID, FeedItem] = field(default_factory=dict)
    offset: int = 10

    async def follow(self) -> None:
        for author in (self.bob, self.star):
            edge = FollowerEdge(self.alice, 0, True, CLOCK.now_ms(), 1, 1)
            await write_edges(self.worker, author, [edge])
            await self.worker.follows.mark_materialised(author, [(self.alice, 1)])

    async def listen(self) -> None:
        with self.reader.live.opened(self.alice) as stream:
            async for found, _ in self.reader.live.changes(stream, {}, limit=20):
                for post_id in found.removed:
                    del self.shown[post_id]
                self.shown.update({item.post_id: item for item in found.shown})

    async def post(self, author: str, content: str) -> UUID:
        post_id = new_post_id(CLOCK.now_ms())
        await self.worker.posts.create(post_id, author, content)
        if author == self.star:
            await add_pulled(self.worker, Pointer(post_id, author), clock=CLOCK)
        else:
            await self.worker.timelines.push([Pointer(post_id, author)], [self.alice])
        return post_id

    async def edit(self, post_id: UUID, content: str) -> None:
        now_ms = CLOCK.now_ms()
        await self.worker.posts.edit(
            post_id, content, edited_at_ms=now_ms, offset=self.next_offset()
        )

    async def mute(self, author: str) -> None:
        now_ms = CLOCK.now_ms()
        await self.worker.ties.write_mute(
            self.alice, author, active=True, since_ms=now_ms, offset=self.next_offset()
        )

    async def shows(self, *contents: str, within_s: float = SOON_S) -> None:
        async def holds() -> bool:
            newest_first = sorted(self.shown.values(), key=lambda item: item.post_id, reverse=True)
            return [item.content for item in newest_first] == list(contents)

        await eventually(holds, within_s=within_s, what=f"{contents}", every_s=0.02)

    async def nothing_to_do(self) -> None:
        """Return once the stream has not looked for a second because of a change."""
        before = -1.0

        async def quiet() -> bool:
            nonlocal before
            last, before = before, looks("change")
            return last == before

        await eventually(quiet, within_s=30, what="the stream has nothing to do", every_s=1)

    def next_offset(self) -> int:
        self.offset += 1
        return self.offset


@asynccontextmanager
async def opened(redis_url: str, directory: Path) -> AsyncIterator[Opened]:
    settings = Settings(cache=redis_url, cache_timeout_s=2)
    async with AsyncExitStack() as stack:
        tables = await stack.enter_async_context(
            embedded(settings, clock=CLOCK, path=directory / "log.sqlite")
        )
        # Tables of their own, so that nobody else's values are found.
        epoch = CacheEpoch(tables.stores.cache_switch, clock=CLOCK, tables=fresh("tables"))
        of_worker, of_feeds = [
            await stack.enter_async_context(
                redis_shared_cache(settings, clock=CLOCK, epoch=process_epoch)
            )
            for process_epoch in (lambda: None, epoch)
        ]
        worker = telling(tables.stores, of_worker, writer_id="worker", clock=CLOCK)
        engines = Engines(tables.log, tables.stores, of_feeds, epoch)
        reader = await stack.enter_async_context(feed_reader(settings, engines, clock=CLOCK))
        it = Opened(reader, worker, fresh("alice"), fresh("bob"), fresh("star"))
        await it.follow()
        listening = asyncio.create_task(it.listen())
        try:
            yield it
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


async def test_what_the_worker_writes_shows_soon_and_because_of_its_marks(
    redis_url: str, tmp_path: Path
) -> None:
    async with opened(redis_url, tmp_path) as it:
        first = await it.post(it.bob, "first")
        await it.post(it.star, "star")
        await it.shows("star", "first", within_s=30)
        await it.nothing_to_do()
        changed = looks("change")
        await it.post(it.bob, "second")
        await it.shows("second", "star", "first")
        await it.edit(first, "edited")
        await it.shows("second", "star", "edited")
        await it.post(it.star, "news")
        await it.shows("news", "second", "star", "edited")
        await it.worker.posts.delete(first, offset=it.next_offset())
        await it.shows("news", "second", "star")
        await it.mute(it.star)
        await it.shows("second")
        assert looks("change") >= changed + 5
