"""The read side put together: the caches, and the use cases over them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.after_writes import AfterWrites
from fanfold.http.identity.tickets import TicketDesk
from feed_service.caches.cache_memory import watch_memory
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.celebrities import Celebrities
from feed_service.caches.shared_reads import SharedReads
from feed_service.live.live_feeds import LiveFeeds
from feed_service.presence import Presence
from feed_service.query.feeds import Feeds
from feed_service.query.read_posts import ReadPosts

logger = logging.getLogger(__name__)

SOURCE_BUDGET_S = 1.0
"""Longest wait for one source. A slower one is left out and named, so that no dead store delays a request."""


@dataclass(frozen=True, slots=True)
class FeedReader:
    """What the routes need."""

    feeds: Feeds
    read_posts: ReadPosts
    after_writes: AfterWrites
    live: LiveFeeds
    tickets: TicketDesk


@asynccontextmanager
async def feed_reader(
    settings: Settings, engines: Engines, *, clock: Clock, budget_s: float = SOURCE_BUDGET_S
) -> AsyncIterator[FeedReader]:
    """The read side over these engines, with its background tasks running until the block ends."""
    stores = engines.stores
    shared = SharedReads(
        stores=stores,
        cache=engines.cache,
        retention_ms=settings.retention_ms,
        clock=clock,
        budget_s=budget_s,
    )
    celebrities = Celebrities(
        stores.pulled_authors, shared, settings=settings, clock=clock, budget_s=budget_s
    )
    reads = CachedReads(shared, celebrities, settings=settings, clock=clock)
    presence = Presence(engines.log, stores.activity, clock=clock)
    feeds = Feeds(reads, presence=presence, settings=settings, clock=clock)
    after_writes = AfterWrites(engines.log, stores, clock)
    live = LiveFeeds(
        feeds.newest, cache=engines.cache, drop=reads.drop, settings=settings, clock=clock
    )
    background = {
        "live feeds": live.tick_forever(),
        "pulled authors": celebrities.refresh_forever(),
        "the shared cache's memory": watch_memory(engines.cache, clock),
        **({"the shared cache's epoch": epoch.watch()} if (epoch := engines.cache_epoch) else {}),
    }
    try:
        await celebrities.begin()
        async with _running(background):
            read_posts = ReadPosts(stores, reads, budget_s=budget_s)
            tickets = TicketDesk(stores.tickets, clock)
            yield FeedReader(feeds, read_posts, after_writes, live, tickets)
    finally:
        live.close()
        await presence.close()
        await reads.close()


@asynccontextmanager
async def _running(work: Mapping[str, Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run this work in the background of the block. Work that fails is logged, and the rest goes on."""
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
    for task in tasks:
        task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    # Feeds are still read, only more slowly: without the refresh the pulled authors are read when they are needed.
    if not task.cancelled() and (error := task.exception()):
        logger.error("a background task ended: %s", task.get_name(), exc_info=error)
