from __future__ import annotations

import asyncio

import pytest

from fanfold.adapters.cassandra.window import Window


async def entered(window: Window) -> int:
    """How many more find room at once."""
    waiting = [asyncio.create_task(window.enter()) for _ in range(50)]
    await asyncio.sleep(0)
    found = sum(caller.done() for caller in waiting)
    for caller in waiting:
        caller.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return found


async def test_no_more_enter_than_there_is_room() -> None:
    assert await entered(Window(8)) == 8


async def test_failures_narrow_the_window_and_answers_widen_it_again() -> None:
    window = Window(8)
    await entered(window)
    for answered in (True, False, False, True, True, True, True, True):
        window.leave(answered=answered)
    assert await entered(window) == 2
    for _ in range(100):
        window.leave(answered=True)
        await window.enter()
    assert await entered(window) == 8 - 2


async def test_a_window_never_closes() -> None:
    window = Window(4)
    await entered(window)
    for _ in range(4):
        window.leave(answered=False)
    assert await entered(window) == 1


async def test_the_longest_waiting_caller_enters_first() -> None:
    window = Window(1)
    await window.enter()
    order: list[int] = []

    async def queue(number: int) -> None:
        await window.enter()
        order.append(number)
        window.leave(answered=True)

    waiting = [asyncio.create_task(queue(number)) for number in range(5)]
    await asyncio.sleep(0)
    window.leave(answered=True)
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


async def test_room_given_to_a_cancelled_caller_goes_to_the_next() -> None:
    window = Window(1)
    await window.enter()
    cancelled, next_one = (asyncio.create_task(window.enter()) for _ in range(2))
    await asyncio.sleep(0)
    window.leave(answered=True)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await asyncio.wait_for(next_one, 1)
