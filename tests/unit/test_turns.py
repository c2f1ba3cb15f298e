"""Requests begin a few in each turn of the event loop, in their order."""

from __future__ import annotations

import asyncio

from fanfold.http.turns import Turns


async def test_a_few_begin_in_each_turn_in_their_order() -> None:
    turns, begun = Turns(most=8), list[int]()

    async def request(number: int) -> None:
        await turns.begin()
        begun.append(number)

    requests = [asyncio.create_task(request(number)) for number in range(20)]
    requests[10].cancel()
    counts = []
    while not all(task.done() for task in requests):
        before = len(begun)
        # What is ready now runs, and then the loop would read its sockets.
        await asyncio.sleep(0)
        counts.append(len(begun) - before)
    assert max(counts) == 8
    assert begun == [number for number in range(20) if number != 10]

    await request(20)
    assert begun[-1] == 20, "one alone begins at once"
