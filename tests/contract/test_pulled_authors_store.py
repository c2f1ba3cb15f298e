from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ports import PulledAuthor, Stores
from fanfold.core.ports.pulled_authors import ANNOUNCED_KEPT_MS
from fanfold.core.settings import MS_PER_DAY
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import fresh, shuffled_with_repetitions, stores_of_each_adapter

stores = stores_of_each_adapter()
HOUR_MS = 3_600_000
LATER_MS = START_MS + MS_PER_DAY


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def all_of(stores: Stores, *, limit: int) -> list[str]:
    found: list[str] = []
    page = await stores.pulled_authors.page(None, limit=limit)
    while True:
        assert len(page.author_ids) <= limit
        found += page.author_ids
        if page.next is None:
            return found
        page = await stores.pulled_authors.page(page.next, limit=limit)


async def test_an_author_is_in_the_set_once_kept_and_announced_once_marked(stores: Stores) -> None:
    authors, taylor = stores.pulled_authors, fresh("taylor")
    assert await authors.get(taylor) is None
    await authors.keep(taylor, until_ms=LATER_MS)
    assert await authors.get(taylor) == PulledAuthor(LATER_MS, announced=False)
    await authors.mark_announced(taylor, until_ms=LATER_MS)
    assert await authors.get(taylor) == PulledAuthor(LATER_MS, announced=True)


@examples_in_one_store
@given(ends=st.lists(st.integers(1, 10**6), min_size=1, max_size=6), seed=st.integers())
async def test_the_latest_end_stays_in_whatever_order(
    stores: Stores, ends: list[int], seed: int
) -> None:
    authors, taylor = stores.pulled_authors, fresh("taylor")
    for end in shuffled_with_repetitions(ends, seed):
        await authors.keep(taylor, until_ms=LATER_MS + end)
    assert await authors.get(taylor) == PulledAuthor(LATER_MS + max(ends), announced=False)


async def test_an_author_whose_time_is_over_does_not_come_into_the_set(stores: Stores) -> None:
    authors, taylor = stores.pulled_authors, fresh("taylor")
    await authors.keep(taylor, until_ms=START_MS)
    await authors.mark_announced(taylor, until_ms=START_MS)
    assert await authors.get(taylor) is None
    assert taylor not in await all_of(stores, limit=1000)


async def test_an_end_decades_ahead_is_kept(stores: Stores) -> None:
    """Cassandra refuses a TTL of over 20 years, and a write that is always refused would never be acknowledged."""
    authors, taylor = stores.pulled_authors, fresh("taylor")
    until_ms = START_MS + 30 * 365 * MS_PER_DAY
    await authors.keep(taylor, until_ms=until_ms)
    await authors.mark_announced(taylor, until_ms=until_ms)
    assert await authors.get(taylor) == PulledAuthor(until_ms, announced=True)


@examples_in_one_store
@given(count=st.integers(0, 40), limit=st.integers(1, 7))
async def test_the_pages_are_the_whole_set(stores: Stores, count: int, limit: int) -> None:
    names = {fresh("star") for _ in range(count)}
    for name in names:
        await stores.pulled_authors.keep(name, until_ms=LATER_MS)
    found = await all_of(stores, limit=limit)
    assert names <= set(found)
    assert len(found) == len(set(found))


async def test_an_announcement_is_found_from_its_time_on(stores: Stores) -> None:
    authors, taylor = stores.pulled_authors, fresh("taylor")
    await authors.announce(taylor, at_ms=START_MS)
    assert taylor in await authors.announced(since_ms=START_MS)
    assert taylor not in await authors.announced(since_ms=START_MS + 1)


async def test_announcements_of_any_hour_are_found_of_clocks_ahead_too(stores: Stores) -> None:
    authors = stores.pulled_authors
    times = [START_MS - n * HOUR_MS // 2 for n in range(10)] + [START_MS + 59_000]
    names = {fresh("star"): at_ms for at_ms in times}
    for name, at_ms in names.items():
        await authors.announce(name, at_ms=at_ms)
        await authors.announce(name, at_ms=at_ms)
    for since_ms in times:
        found = names.keys() & set(await authors.announced(since_ms=since_ms))
        assert found == {name for name, at_ms in names.items() if at_ms >= since_ms}


async def test_announcements_near_the_turn_of_an_hour_are_found(
    stores: Stores, clock: ManualClock
) -> None:
    authors, taylor = stores.pulled_authors, fresh("taylor")
    turn_ms = START_MS + HOUR_MS
    clock.advance((HOUR_MS - 1000) / 1000)
    await authors.announce(taylor, at_ms=turn_ms + 1000)
    assert taylor in await authors.announced(since_ms=turn_ms - 60_000)
    clock.advance(2)
    assert taylor in await authors.announced(since_ms=turn_ms - 60_000)


async def test_announcements_older_than_they_are_kept_are_gone(stores: Stores) -> None:
    authors, taylor = stores.pulled_authors, fresh("taylor")
    await authors.announce(taylor, at_ms=START_MS - ANNOUNCED_KEPT_MS - 1)
    assert taylor not in await authors.announced(since_ms=0)
