"""A reader's list in the shared cache, against the timeline in the tables, under any order of deliveries, reads, evictions and outages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.shared_cache import MemoryCacheServer, MemorySharedCache
from fanfold.core.cache_keys import feed_entry, feed_key
from fanfold.core.ids import first_post_id_at, new_post_id
from fanfold.core.ports import Pointer
from fanfold.core.settings import MS_PER_DAY, Settings
from feed_service.caches.shared_reads import SharedReads
from feed_service.candidates import Candidate, Page
from tests.support.clock import ManualClock
from tests.support.shared_caches import Epoch

VIEWER = "eve"
DEPTH = 12


@dataclass
class Feed:
    """A timeline in the tables, and two processes that read it through one cache."""

    clock: ManualClock = field(default_factory=ManualClock)
    epoch: Epoch = field(default_factory=Epoch)
    server: MemoryCacheServer = field(default_factory=MemoryCacheServer)
    last: Pointer | None = None

    def __post_init__(self) -> None:
        settings = Settings(feed_depth=DEPTH)
        self.retention_ms = settings.retention_ms
        self.stores = memory_stores(settings, clock=self.clock)
        self.cache = MemorySharedCache(
            settings, clock=self.clock, epoch=self.epoch, server=self.server
        )
        self.reads = [
            SharedReads(
                stores=self.stores,
                cache=self.cache,
                retention_ms=settings.retention_ms,
                clock=self.clock,
                budget_s=1,
            )
            for _ in range(2)
        ]

    async def deliver(self, ago_ms: int, *, told: bool = True) -> None:
        """A post of that age, which may be older than what is there: by a backfill, or by a worker that was behind."""
        await self._write(Pointer(new_post_id(self.clock.now_ms() - ago_ms), "bob"), told=told)

    async def deliver_again(self) -> None:
        """What a worker does after a crash."""
        if self.last is not None:
            await self._write(self.last, told=True)

    async def _write(self, pointer: Pointer, *, told: bool) -> None:
        self.last = pointer
        await self.stores.timelines.push([pointer], [VIEWER])
        if told:
            await self.cache.push([feed_entry(*pointer)], [VIEWER])

    async def check(
        self, process: int, *, served: int, days: int, limit: int, pages: int = 100
    ) -> None:
        """The pages after the newest `served` posts are what the tables hold."""
        since_ms = self.clock.now_ms() - min(days * MS_PER_DAY, self.retention_ms)
        rows = await self.stores.timelines.timeline(
            VIEWER, before=None, since_ms=since_ms, limit=10_000
        )
        before = rows[min(served, len(rows)) - 1].post_id if served and rows else None
        rest = rows[served:] if before else rows
        found: list[Candidate] = []
        page = Page((), more=True)
        while page.more and pages:
            pages -= 1
            page = await self.reads[process].timeline(
                VIEWER, before=before, since_ms=since_ms, limit=limit
            )
            found += page.candidates
            assert page.candidates or not page.more
            before = found[-1].post_id if found else None
        expected = [Candidate(-number, author_id, "push") for number, author_id in rest]
        assert found == (expected[: len(found)] if page.more else expected)


AGES = st.integers(0, 12 * MS_PER_DAY)


@st.composite
def reads(draw: st.DrawFn) -> tuple[object, ...]:
    """Mostly the first page, of the whole feed; now and then one far behind, or of a few days."""
    served = draw(st.sampled_from((0, 0, 0, 1, 3, 6, 9)))
    days = draw(st.sampled_from((30, 30, 30, 1, 5, 9)))
    return (
        "read",
        draw(st.integers(0, 1)),
        served,
        days,
        draw(st.integers(1, 5)),
        draw(st.integers(1, 3)),
    )


STEPS = st.one_of(
    reads(),
    reads(),
    st.tuples(st.just("deliver"), AGES),
    st.tuples(st.just("deliver"), st.integers(0, 60_000)),
    st.tuples(st.just("deliver again")),
    st.tuples(st.just("evict")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("pass time"), st.integers(1, 2 * MS_PER_DAY)),
    st.tuples(st.just("outage"), AGES),
)


async def _step(feed: Feed, step: tuple[object, ...]) -> None:
    match step:
        case ("deliver", int(ago_ms)):
            await feed.deliver(ago_ms)
        case ("deliver again",):
            await feed.deliver_again()
        case ("read", int(process), int(served), int(days), int(limit), int(pages)):
            await feed.check(process, served=served, days=days, limit=limit, pages=pages)
        case ("evict",):
            feed.server.kept.pop(feed_key(VIEWER), None)
        case ("restart",):
            feed.server.restart(feed.server.snapshot())
        case ("pass time", int(ms)):
            feed.clock.advance(ms / 1000)
        case ("outage", int(ago_ms)):
            # The worker can't tell the cache, so it tells an outage: the epoch is another one.
            await feed.deliver(ago_ms, told=False)
            feed.epoch.known = first_post_id_at(len(feed.epoch.known or b"")).bytes + (
                feed.epoch.known or b""
            )


@given(st.lists(AGES, min_size=6, max_size=12), st.lists(STEPS, min_size=5, max_size=40))
def test_every_page_is_what_the_tables_hold(
    ages: list[int], steps: list[tuple[object, ...]]
) -> None:
    async def history() -> None:
        feed = Feed()
        for ago_ms in ages:
            await feed.deliver(ago_ms)
        for step in steps:
            await _step(feed, step)
        await feed.check(0, served=0, days=30, limit=5)

    asyncio.run(history())
