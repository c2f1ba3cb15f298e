"""Idempotency keys in both adapters."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from fanfold.core.ports import IdempotencyKeys, KeyReservation, Stores
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import a_post_id, fresh, stores_of_each_adapter

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(stores: Stores) -> IdempotencyKeys:
    return stores.idempotency_keys


def a_reservation(*, by: UUID | None = None, at_ms: int = START_MS) -> KeyReservation:
    return KeyReservation(post_id=by or a_post_id(), body_hash="b0d1", reserved_at_ms=at_ms)


async def test_the_first_reservation_holds_the_key(keys: IdempotencyKeys) -> None:
    author, first, second = fresh("bob"), a_reservation(), a_reservation()
    assert await keys.reserve(author, "k1", first) is None
    assert await keys.reserve(author, "k1", second) == first
    assert await keys.reserve(author, "k1", first) is None, "repeated, as after a 503"
    assert await keys.reserve(author, "k2", second) is None
    assert await keys.reserve(fresh("eve"), "k1", second) is None


async def test_of_many_reservations_at_once_one_holds_the_key(keys: IdempotencyKeys) -> None:
    author, rivals = fresh("bob"), [a_reservation() for _ in range(8)]
    outcomes = await asyncio.gather(*(keys.reserve(author, "k", rival) for rival in rivals))
    [winner] = [rival for rival, held in zip(rivals, outcomes, strict=True) if held is None]
    assert {held for held in outcomes if held is not None} == {winner}


async def test_an_abandoned_key_is_taken_over_once_and_keeps_its_post_id(
    keys: IdempotencyKeys,
) -> None:
    author, held = fresh("bob"), a_reservation()
    await keys.reserve(author, "k", held)
    taken = await asyncio.gather(
        *(keys.take_over(author, "k", held, now_ms=START_MS + 60_000 + rival) for rival in range(4))
    )
    assert sorted(taken) == [False, False, False, True]
    now = await keys.reserve(author, "k", a_reservation())
    assert now == replace(held, reserved_at_ms=START_MS + 60_000 + taken.index(True))


async def test_a_released_key_can_be_taken_over_at_once(keys: IdempotencyKeys) -> None:
    author, held = fresh("bob"), a_reservation()
    await keys.reserve(author, "k", held)
    await keys.release(author, "k", held)
    released = await keys.reserve(author, "k", a_reservation())
    assert released == replace(held, reserved_at_ms=0)
    assert await keys.take_over(author, "k", released, now_ms=START_MS + 1)


async def test_a_key_taken_over_is_not_released_by_its_former_holder(keys: IdempotencyKeys) -> None:
    author, held = fresh("bob"), a_reservation()
    await keys.reserve(author, "k", held)
    await keys.take_over(author, "k", held, now_ms=START_MS + 60_000)
    await keys.release(author, "k", held)
    now = await keys.reserve(author, "k", a_reservation())
    assert now == replace(held, reserved_at_ms=START_MS + 60_000)


async def test_the_first_answer_stays_and_ends_taking_over_and_releasing(
    keys: IdempotencyKeys,
) -> None:
    author, held = fresh("bob"), a_reservation()
    await keys.reserve(author, "k", held)
    await keys.answer(author, "k", held, '{"post": 1}')
    await keys.answer(author, "k", held, '{"post": 2}')
    answered = await keys.reserve(author, "k", a_reservation())
    assert answered == replace(held, answer='{"post": 1}')
    assert not await keys.take_over(author, "k", answered, now_ms=START_MS + 60_000)
    await keys.release(author, "k", held)
    assert await keys.reserve(author, "k", a_reservation()) == answered


async def test_a_slow_request_may_still_answer_a_key_that_was_taken_over(
    keys: IdempotencyKeys,
) -> None:
    author, held = fresh("bob"), a_reservation()
    await keys.reserve(author, "k", held)
    await keys.take_over(author, "k", held, now_ms=START_MS + 60_000)
    await keys.answer(author, "k", held, "{}")
    answered = await keys.reserve(author, "k", a_reservation())
    assert answered is not None
    assert (answered.post_id, answered.answer) == (held.post_id, "{}")


async def test_an_unreserved_key_is_neither_taken_over_nor_answered(keys: IdempotencyKeys) -> None:
    author, held = fresh("bob"), a_reservation()
    assert not await keys.take_over(author, "k", held, now_ms=START_MS)
    await keys.release(author, "k", held)
    await keys.answer(author, "k", held, "{}")
    assert await keys.reserve(author, "k", a_reservation()) is None
