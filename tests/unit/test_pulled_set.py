"""Which authors a feed process takes for pulled: never one too few for longer than a second, whatever it cost to find out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from fanfold.adapters.memory.pulled_authors import MemoryPulledAuthors
from fanfold.core.errors import Unavailable
from fanfold.core.ports.pulled_authors import ANNOUNCED_KEPT_MS, LATE_MS
from fanfold.core.settings import MS_PER_DAY
from fanout_service.keep_pulled import KeepPulled
from feed_service.caches import pulled_set
from feed_service.caches.pulled_set import PAGE, READ_AGAIN_S, PulledSet
from tests.support.clock import START_MS, ManualClock
from tests.support.feed import FaultyStore
from tests.support.longest_step import longest_step_s
from tests.support.virtual_loop import run_on_virtual_time

LATER_MS = START_MS + 30 * MS_PER_DAY


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def authors(clock: ManualClock) -> FaultyStore:
    return FaultyStore(MemoryPulledAuthors(clock=clock))


def a_set(authors: FaultyStore, clock: ManualClock, *, budget_s: float = 5.0) -> PulledSet:
    return PulledSet(authors, clock=clock, budget_s=budget_s, chance=lambda: 0.5)


@pytest.fixture
async def pulled(authors: FaultyStore, clock: ManualClock) -> AsyncIterator[PulledSet]:
    opened = a_set(authors, clock)
    yield opened
    await opened.close()


async def comes(authors: FaultyStore, clock: ManualClock, *names: str) -> None:
    """These authors come into the set."""
    worker = KeepPulled(authors=authors, clock=clock)
    for name in names:
        await worker.keep(name, until_ms=clock.now_ms() + 30 * MS_PER_DAY)


async def test_authors_of_before_and_new_ones_are_in_the_set_within_a_second(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await comes(authors, clock, "star")
    assert await pulled.get() == {"star"}
    await comes(authors, clock, "comet")
    clock.advance(1)
    assert await pulled.get() == {"star", "comet"}


async def test_the_whole_set_is_read_once_in_an_hour(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await comes(authors, clock, "star")
    await pulled.get()
    authors.calls.clear()
    for _ in range(int(READ_AGAIN_S) - 1):
        clock.advance(1)
        await pulled.get()
    assert authors.calls == {"announced": READ_AGAIN_S - 1}
    clock.advance(1)
    await pulled.get()
    await asyncio.sleep(0)
    assert authors.calls["page"] == 1


async def test_authors_without_pulled_posts_leave_the_set_at_the_next_whole_read(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await authors.keep("old", until_ms=START_MS + 10_000)
    await comes(authors, clock, "star")
    assert await pulled.get() == {"old", "star"}
    clock.advance(READ_AGAIN_S)
    await pulled.get()  # begins to read, and doesn't wait for it
    await asyncio.sleep(0)
    clock.advance(1)
    assert await pulled.get() == {"star"}


async def statements_of_an_idle_process(count: int) -> tuple[Counter[str], int]:
    """The calls of ten minutes, and how many rows they returned."""
    clock = ManualClock()
    memory = MemoryPulledAuthors(clock=clock)
    for number in range(count):
        await memory.keep(f"star-{number:06}", until_ms=LATER_MS)
        # Before the process started: it has been pulled for long.
        await memory.mark_announced(f"star-{number:06}", until_ms=LATER_MS)
    authors = FaultyStore(memory)
    opened = a_set(authors, clock)
    refreshing = asyncio.create_task(opened.refresh_forever(0.5))
    await asleep(clock)
    assert len(await opened.get()) == count
    authors.calls.clear()
    rows = 0
    for _ in range(1200):
        clock.advance(0.5)
        await asleep(clock)
        rows += len(await memory.announced(since_ms=clock.now_ms() - LATE_MS))
    refreshing.cancel()
    await opened.close()
    return authors.calls, rows


async def asleep(clock: ManualClock) -> None:
    """Return when the process has nothing to do before the clock moves."""
    while not clock.sleeping:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0)


@pytest.mark.slow
async def test_an_idle_process_makes_as_few_statements_with_100_000_pulled_authors_as_with_1_000() -> (
    None
):
    few = await statements_of_an_idle_process(1_000)
    assert few == ({"announced": 1200}, 0)
    assert await statements_of_an_idle_process(100_000) == few


@pytest.mark.slow
async def test_reading_100_000_pulled_authors_holds_the_event_loop_for_moments_only() -> None:
    clock = ManualClock()
    memory = MemoryPulledAuthors(clock=clock)
    for number in range(100_000):
        await memory.keep(f"star-{number:06}", until_ms=LATER_MS)

    class Paged:
        """As a store whose pages come from elsewhere."""

        announced = staticmethod(memory.announced)

        async def page(self, after: tuple[int, str] | None, *, limit: int) -> object:
            await asyncio.sleep(0)
            return await memory.page(after, limit=limit)

    async def read() -> None:
        opened = PulledSet(Paged(), clock=clock, budget_s=60)  # type: ignore[arg-type]
        assert len(await opened.get()) == 100_000
        await opened.close()

    assert await longest_step_s(read) < 0.02


# --- races with the whole read ---------------------------------------------------------------------------


async def test_an_author_who_comes_while_the_set_is_read_is_in_it(
    pulled: PulledSet,
    authors: FaultyStore,
    clock: ManualClock,
) -> None:
    release = authors.pause_after("page")
    asked = asyncio.create_task(pulled.get())
    await authors.until_paused("page")
    await comes(authors, clock, "star")
    release()
    assert await asked == {"star"}


async def test_an_author_seen_while_the_set_is_read_again_stays_in_it(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await pulled.get()
    clock.advance(READ_AGAIN_S)
    release = authors.pause_after("page")
    await pulled.get()
    await authors.until_paused("page")
    # It came behind the page that was read, and its announcement is seen long before the read ends.
    await comes(authors, clock, "star")
    clock.advance(1)
    assert await pulled.get() == {"star"}
    for _ in range(600):
        clock.advance(1)
        await pulled.get()
    release()
    await asyncio.sleep(0.01)
    clock.advance(1)
    assert await pulled.get() == {"star"}


def test_a_whole_read_that_takes_longer_than_a_request_waits_serves_a_later_request(
    authors: FaultyStore, clock: ManualClock
) -> None:
    async def read() -> None:
        await comes(authors, clock, "star")
        opened = a_set(authors, clock, budget_s=0.05)
        release = authors.pause_before("page")
        for _ in range(2):
            with pytest.raises(Unavailable):
                await opened.get()
        release()
        assert await opened.get() == {"star"}
        assert authors.calls["page"] == 1
        await opened.close()

    run_on_virtual_time(read())


async def test_a_process_that_begins_reads_the_set_and_gives_up_waiting_while_the_tables_are_away(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    authors.away.add("page")
    await pulled.begin()
    authors.away.clear()
    await comes(authors, clock, "star")
    await pulled.begin()
    assert await pulled.get() == {"star"}
    assert authors.calls["page"] == 2


async def test_more_authors_than_a_page_has(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulled_set, "PAGE", 10)
    names = {f"star-{number}" for number in range(35)}
    await comes(authors, clock, *names)
    assert await pulled.get() == names
    assert authors.calls["page"] == 4
    assert PAGE == 1000


# --- when the tables are away, or the process was --------------------------------------------------------


async def test_what_is_older_than_a_second_is_not_used_while_the_tables_are_away(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await comes(authors, clock, "star")
    await pulled.get()
    authors.away.add("announced")
    clock.advance(0.99)
    assert await pulled.get() == {"star"}
    clock.advance(0.01)
    with pytest.raises(Unavailable):
        await pulled.get()
    authors.away.clear()
    assert await pulled.get() == {"star"}


@pytest.mark.parametrize("away_s", [2, 3600, ANNOUNCED_KEPT_MS / 1000, 30 * 3600])
async def test_a_process_that_was_stopped_finds_who_came_meanwhile(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock, away_s: float
) -> None:
    await pulled.get()
    await comes(authors, clock, "star")
    clock.advance(away_s)
    authors.calls.clear()
    assert await pulled.get() == {"star"}
    assert authors.calls["page"] == (away_s >= READ_AGAIN_S)


async def test_a_process_that_is_stopped_for_a_day_while_it_looks_reads_the_whole_set(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await pulled.get()
    clock.advance(1)
    release = authors.pause_before("announced")
    asked = asyncio.create_task(pulled.get())
    await authors.until_paused("announced")
    await comes(authors, clock, "star")
    clock.advance(24 * 3600)
    release()
    assert await asked == {"star"}


async def test_an_announcement_made_while_a_slow_look_goes_on_is_seen_by_the_next(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await pulled.get()
    clock.advance(1)
    release = authors.pause_after("announced")
    asked = asyncio.create_task(pulled.get())
    await authors.until_paused("announced")
    await comes(authors, clock, "star")
    clock.advance(2 * LATE_MS / 1000)
    release()
    assert await asked == set()
    clock.advance(1)
    assert await pulled.get() == {"star"}


async def test_an_announcement_that_arrives_late_or_from_a_clock_that_differs_is_seen(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock
) -> None:
    await pulled.get()
    for n in range(10):
        clock.advance(1)
        await pulled.get()
        for name, apart_ms in ((f"behind-{n}", -LATE_MS + 2000), (f"ahead-{n}", LATE_MS - 1)):
            await authors.announce(name, at_ms=clock.now_ms() + apart_ms)
        clock.advance(1)
        assert await pulled.get() >= {f"behind-{n}", f"ahead-{n}"}


async def test_a_whole_read_again_that_fails_is_tried_again_and_nothing_is_lost(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await comes(authors, clock, "star")
    await pulled.get()
    authors.away.add("page")
    clock.advance(READ_AGAIN_S)
    await pulled.get()
    await asyncio.sleep(0)
    assert "can't be read whole: page is away" in caplog.text
    for _ in range(59):
        clock.advance(1)
        assert await pulled.get() == {"star"}
    await asyncio.sleep(0)
    assert authors.calls["page"] == 2
    authors.away.clear()
    clock.advance(1)
    await pulled.get()
    await asyncio.sleep(0)
    assert authors.calls["page"] == 3
    assert await pulled.get() == {"star"}


async def test_refreshing_goes_on_while_the_tables_are_away(
    pulled: PulledSet, authors: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    authors.away.add("page")
    refreshing = asyncio.create_task(pulled.refresh_forever(0.5))
    await asleep(clock)
    assert "the pulled authors can't be read: page is away" in caplog.text
    authors.away.clear()
    clock.advance(0.5)
    await asleep(clock)
    assert authors.calls == {"page": 2, "announced": 1}
    refreshing.cancel()
