from __future__ import annotations

from collections.abc import Callable

import pytest

from fanfold.adapters.memory.pulled_authors import MemoryPulledAuthors
from fanfold.core.ports import PulledAuthor
from fanfold.core.settings import MS_PER_DAY
from fanout_service import keep_pulled
from fanout_service.keep_pulled import RENEWED_MS, KeepPulled
from tests.support.clock import START_MS, ManualClock
from tests.support.crashes import Killed, Life, Mortal

MONTH_MS = 31 * MS_PER_DAY
UNTIL_MS = START_MS + MONTH_MS


class Watched:
    """Notes the calls. `before` runs before a call of that name takes effect."""

    def __init__(self, clock: ManualClock) -> None:
        self._authors = MemoryPulledAuthors(clock=clock)
        self.calls: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> object:
        method = getattr(self._authors, name)

        async def call(*args: object, **kwargs: object) -> object:
            self.calls.append(name)
            self.before.pop(name, lambda: None)()
            return await method(*args, **kwargs)

        return call

    def taken(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def authors(clock: ManualClock) -> Watched:
    return Watched(clock)


def keeping(authors: Watched, clock: ManualClock) -> KeepPulled:
    """As a worker that has just started."""
    return KeepPulled(authors=authors, clock=clock)  # type: ignore[arg-type]


async def test_a_new_author_is_kept_then_announced_then_marked(
    authors: Watched, clock: ManualClock
) -> None:
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS)
    assert authors.taken() == ["get", "keep", "announce", "mark_announced"]
    assert await authors._authors.get("star") == PulledAuthor(UNTIL_MS + RENEWED_MS, announced=True)
    assert await authors._authors.announced(since_ms=START_MS) == ["star"]


async def test_the_posts_of_a_day_cost_nothing_and_the_next_day_s_first_renews_without_a_word(
    authors: Watched, clock: ManualClock
) -> None:
    worker = keeping(authors, clock)
    await worker.keep("star", until_ms=UNTIL_MS)
    authors.taken()
    for age_ms in (0, 1, RENEWED_MS):
        await worker.keep("star", until_ms=UNTIL_MS + age_ms)
    assert authors.taken() == []
    await worker.keep("star", until_ms=UNTIL_MS + RENEWED_MS + 1)
    assert authors.taken() == ["get", "keep", "get", "mark_announced"]
    await worker.keep("star", until_ms=UNTIL_MS + RENEWED_MS + 1)
    assert authors.taken() == []


async def test_another_worker_reads_once_what_is_kept(authors: Watched, clock: ManualClock) -> None:
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS)
    authors.taken()
    other = keeping(authors, clock)
    for _ in range(3):
        await other.keep("star", until_ms=UNTIL_MS)
    assert authors.taken() == ["get"]


async def test_an_author_who_was_silent_for_longer_is_announced_again(
    authors: Watched, clock: ManualClock
) -> None:
    worker = keeping(authors, clock)
    await worker.keep("star", until_ms=UNTIL_MS)
    authors.taken()
    clock.advance((MONTH_MS + RENEWED_MS) / 1000)
    await worker.keep("star", until_ms=clock.now_ms() + MONTH_MS)
    assert authors.taken() == ["get", "keep", "announce", "mark_announced"]


async def test_a_row_that_ended_just_before_it_was_renewed_is_announced_again(
    authors: Watched, clock: ManualClock
) -> None:
    """A reader that read the whole set in between doesn't know the author."""
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS)
    clock.advance((MONTH_MS + RENEWED_MS) / 1000 - 1)
    authors.taken()
    authors.before["keep"] = lambda: clock.advance(1)
    await keeping(authors, clock).keep("star", until_ms=clock.now_ms() + MONTH_MS)
    assert authors.taken() == ["get", "keep", "get", "announce", "mark_announced"]


async def test_an_announcement_that_took_too_long_is_made_again_at_a_newer_time(
    authors: Watched, clock: ManualClock
) -> None:
    """It may be older when it arrives than what readers look for."""
    authors.before["announce"] = lambda: clock.advance(10.1)
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS)
    assert authors.taken() == ["get", "keep", "announce", "announce", "mark_announced"]
    assert await authors._authors.announced(since_ms=START_MS + 1) == ["star"]


@pytest.mark.parametrize("writes", range(3))
async def test_a_worker_that_dies_between_two_writes_leaves_it_to_the_next_to_announce(
    authors: Watched, clock: ManualClock, writes: int
) -> None:
    mortal = Mortal(authors, Life(writes))
    with pytest.raises(Killed):
        await KeepPulled(authors=mortal, clock=clock).keep("star", until_ms=UNTIL_MS)
    clock.advance(5 * 3600)
    authors.taken()
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS)
    assert authors.taken() == ["get", "keep", "announce", "mark_announced"]
    assert "star" in await authors._authors.announced(since_ms=clock.now_ms())


async def test_a_post_of_an_old_time_does_not_shorten_what_is_kept(
    authors: Watched, clock: ManualClock
) -> None:
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS)
    await keeping(authors, clock).keep("star", until_ms=UNTIL_MS - MONTH_MS + 1)
    assert await authors._authors.get("star") == PulledAuthor(UNTIL_MS + RENEWED_MS, announced=True)


async def test_a_worker_remembers_only_so_many_authors(
    authors: Watched, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_pulled, "REMEMBERED", 3)
    worker = keeping(authors, clock)
    for number in range(10):
        await worker.keep(f"star-{number}", until_ms=UNTIL_MS)
    authors.taken()
    for number in (9, 8, 7):
        await worker.keep(f"star-{number}", until_ms=UNTIL_MS)
    assert authors.taken() == []
    await worker.keep("star-0", until_ms=UNTIL_MS)
    assert authors.taken() == ["get"]
