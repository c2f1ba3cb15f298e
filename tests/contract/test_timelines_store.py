from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ports import Pointer, Stores, TimelineEntry
from fanfold.core.settings import MS_PER_DAY, Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import (
    a_post_id,
    all_pages,
    fresh,
    shuffled_with_repetitions,
    stores_of_each_adapter,
)

stores = stores_of_each_adapter()
KEPT_MS = Settings().retention_ms + MS_PER_DAY


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def a_pointer(ms: int = START_MS, *, by: str = "bob") -> Pointer:
    return Pointer(a_post_id(ms), by)


def entries(*pointers: Pointer) -> list[TimelineEntry]:
    return [TimelineEntry(pointer.post_id.int, pointer.author_id) for pointer in pointers]


async def test_every_pointer_reaches_every_reader_and_the_rows_are_counted(stores: Stores) -> None:
    readers = [fresh("reader") for _ in range(250)]
    pointers = [a_pointer(START_MS - age, by=f"author{age}") for age in range(3)]
    assert await stores.timelines.push(pointers, readers) == 750
    for reader in readers[::50]:
        found = await stores.timelines.timeline(reader, before=None, since_ms=0, limit=10)
        assert found == entries(*pointers)
        assert [entry.post_id for entry in found] == [pointer.post_id for pointer in pointers]


async def test_a_corrected_pointer_names_its_author_whatever_is_pushed_later(
    stores: Stores,
) -> None:
    alice = fresh("alice")
    # Of two authors with one timestamp the greater would stay: both orders are tried.
    for right, wrong in (("bob", "zoe"), ("zoe", "bob")):
        pointer = a_pointer(by=right)
        await stores.timelines.push([pointer._replace(author_id=wrong)], [alice])
        await stores.timelines.correct(alice, pointer)
        await stores.timelines.push([pointer._replace(author_id=wrong)], [alice])
        (found,) = await stores.timelines.timeline(alice, before=None, since_ms=0, limit=1)
        assert found == TimelineEntry(pointer.post_id.int, right)


async def test_a_correction_makes_a_pointer_that_is_not_there(stores: Stores) -> None:
    alice = fresh("alice")
    pointer, expired = a_pointer(), a_pointer(START_MS - KEPT_MS)
    await stores.timelines.correct(alice, pointer)
    await stores.timelines.correct(alice, expired)
    found = await stores.timelines.timeline(alice, before=None, since_ms=0, limit=10)
    assert found == entries(pointer)


async def test_nothing_to_push_writes_nothing(stores: Stores) -> None:
    assert await stores.timelines.push([], [fresh("alice")]) == 0
    assert await stores.timelines.push([a_pointer()], []) == 0


@examples_in_one_store
@given(count=st.integers(1, 8), seed=st.integers())
async def test_a_timeline_is_the_same_whatever_the_order_and_number_of_pushes(
    stores: Stores, count: int, seed: int
) -> None:
    alice = fresh("alice")
    pointers = [a_pointer(START_MS - age) for age in range(count)]
    for pointer in shuffled_with_repetitions(pointers, seed):
        assert await stores.timelines.push([pointer], [alice]) == 1
    found = await stores.timelines.timeline(alice, before=None, since_ms=0, limit=100)
    assert found == entries(*pointers)


@examples_in_one_store
@given(
    ages=st.lists(st.integers(0, KEPT_MS - 60_000), min_size=1, max_size=12),
    window=st.integers(0, KEPT_MS),
    limit=st.integers(1, 5),
)
async def test_pages_of_a_timeline_and_of_a_celebrity_are_the_whole_window(
    stores: Stores, ages: list[int], window: int, limit: int
) -> None:
    alice, taylor, since_ms = fresh("alice"), fresh("taylor"), START_MS - window
    pointers = [a_pointer(START_MS - age, by=taylor) for age in ages]
    await stores.timelines.push(pointers, [alice])
    for pointer in pointers:
        await stores.timelines.add_pulled(pointer)

    pushed: list[TimelineEntry] = await all_pages(
        lambda before: stores.timelines.timeline(
            alice, before=before, since_ms=since_ms, limit=limit
        ),
        limit=limit,
        cursor=lambda entry: entry.post_id,
    )
    pulled = await all_pages(
        lambda before: stores.timelines.pulled(
            taylor, before=before, since_ms=since_ms, limit=limit
        ),
        limit=limit,
        cursor=lambda post_id: post_id,
    )

    in_window = [pointer for pointer, age in zip(pointers, ages, strict=True) if age <= window]
    assert pushed == entries(*sorted(in_window, reverse=True))
    assert pulled == [entry.post_id for entry in pushed]


async def test_an_expired_pointer_is_neither_written_nor_counted(stores: Stores) -> None:
    alice, taylor = fresh("alice"), fresh("taylor")
    late, in_time = a_pointer(START_MS - KEPT_MS, by=taylor), a_pointer(by=taylor)
    assert await stores.timelines.push([late, in_time], [alice]) == 1
    await stores.timelines.add_pulled(late)
    found = await stores.timelines.timeline(alice, before=None, since_ms=0, limit=9)
    assert found == entries(in_time)
    assert await stores.timelines.pulled(taylor, before=None, since_ms=0, limit=9) == []


async def test_a_pulled_post_is_stored_once(stores: Stores) -> None:
    taylor = fresh("taylor")
    first, second = a_pointer(START_MS - 10, by=taylor), a_pointer(START_MS, by=taylor)
    for pointer in (first, second, first, second):
        await stores.timelines.add_pulled(pointer)
    found = await stores.timelines.pulled(taylor, before=None, since_ms=0, limit=9)
    assert found == [second.post_id, first.post_id]


async def test_a_user_without_deliveries_has_an_empty_timeline_and_an_author_without_posts_nothing_pulled(
    stores: Stores,
) -> None:
    assert await stores.timelines.timeline(fresh("new"), before=None, since_ms=0, limit=9) == []
    assert await stores.timelines.pulled(fresh("new"), before=None, since_ms=0, limit=9) == []
