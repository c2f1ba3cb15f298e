"""The read side put together: caches, the tail that keeps them honest, and the use cases over them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fanfold.core.clock import Clock
from fanfold.core.events import Event
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.readiness import Check
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.celebrities import Celebrities
from feed_service.consistency.after_writes import AfterWrites
from feed_service.consistency.log_tail import Apply, LogTail
from feed_service.live.live_feeds import LiveFeeds
from feed_service.presence import Presence
from feed_service.query.read_feed import FeedRules, ReadFeed
from feed_service.query.read_head import ReadHead
from feed_service.query.read_posts import ReadPosts
from feed_service.query.sources import Sources

logger = logging.getLogger(__name__)

SOURCE_BUDGET_S = 1.0
"""Longest wait for one source: a slower one is left out and named, so that no dead store holds a reader."""


@dataclass(frozen=True, slots=True)
class FeedReader:
    """What the routes need."""

    read_feed: ReadFeed
    read_head: ReadHead
    read_posts: ReadPosts
    after_writes: AfterWrites
    live: LiveFeeds
    warm: Check


@asynccontextmanager
async def feed_reader(
    settings: Settings, engines: Engines, *, clock: Clock, budget_s: float = SOURCE_BUDGET_S
) -> AsyncIterator[FeedReader]:
    """The read side over these engines, with its background tasks running until the block ends.

    Where the tables are rebuilt from the log, enter it after that: caches hear of the last five minutes and later.
    """
    stores = engines.stores
    tail = LogTail(engines.log, settings=settings, clock=clock)
    reads = CachedReads(
        stores, settings=settings, clock=clock, trusted=tail.trusted, budget_s=budget_s
    )
    celebrities = Celebrities(stores.timelines, settings=settings, clock=clock, budget_s=budget_s)
    presence = Presence(engines.log, stores.activity, clock=clock)
    sources = Sources(reads, celebrities, stores.timelines, presence=presence, budget_s=budget_s)
    head = ReadHead(sources, reads, retention_ms=settings.retention_ms, clock=clock)
    live = LiveFeeds(head.newest, clock=clock, most=settings.live_feeds)

    background = {
        "the tail": tail.follow(_telling(reads, presence, live)),
        "live feeds": live.tick_forever(),
        "pulled authors": celebrities.refresh_forever(),
    }
    try:
        async with _running(background):
            yield FeedReader(
                ReadFeed(sources, reads, rules=FeedRules.of(settings), clock=clock),
                head,
                ReadPosts(stores, reads, budget_s=budget_s),
                AfterWrites(
                    log=engines.log,
                    stores=stores,
                    clock=clock,
                    apply=reads.apply_awaited,
                    recent=tail.recent,
                ),
                live,
                tail.warm,
            )
    finally:
        live.close()
        for part in (presence, reads, celebrities):
            await part.close()


def _telling(reads: CachedReads, presence: Presence, live: LiveFeeds) -> Apply:
    """Whom the tail tells what it reads."""

    def told(event: Event, offset: int) -> None:
        reads.apply(event, offset)
        presence.apply(event, offset)
        live.hint(event)

    return told


@asynccontextmanager
async def _running(work: Mapping[str, Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """The block with this work beside it. Work that fails ends alone, and says so."""
    tasks = [asyncio.create_task(each, name=name) for name, each in work.items()]
    for task in tasks:
        task.add_done_callback(_say_why)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _say_why(task: asyncio.Task[None]) -> None:
    # Reading goes on without it, only slower: without a tail nothing cached is trusted, and without the refresher
    # the pulled authors are read when they are needed.
    if not task.cancelled() and (error := task.exception()):
        logger.error("a background task ended: %s", task.get_name(), exc_info=error)
