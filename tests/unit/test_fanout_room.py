from __future__ import annotations

import asyncio

import pytest

from fanout_service.room import Room


class Holders:
    """Callers that hold their room until they are told to leave."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, amount: int) -> None:
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, amount))
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def _hold(self, name: str, amount: int) -> None:
        async with self._room.of(amount):
            self.inside.append(name)
            await self._leave[name].wait()
            self.inside.remove(name)


async def test_many_small_ones_hold_it_together_and_a_large_one_waits_for_all_it_needs() -> None:
    holders = Holders(Room(10))
    await holders.come("large", 8)
    await holders.come("small", 2)
    await holders.come("other", 3)
    assert holders.inside == ["large", "small"]
    await holders.leave("small")
    assert holders.inside == ["large"]
    await holders.leave("large")
    assert holders.inside == ["other"]


async def test_an_amount_larger_than_all_room_has_the_room_alone() -> None:
    holders = Holders(Room(10))
    await holders.come("huge", 1000)
    await holders.come("small", 1)
    assert holders.inside == ["huge"]
    await holders.leave("huge")
    assert holders.inside == ["small"]


async def test_a_small_one_does_not_pass_a_large_one_that_came_first() -> None:
    holders = Holders(Room(10))
    await holders.come("first", 6)
    await holders.come("large", 8)
    await holders.come("small", 1)
    assert holders.inside == ["first"]
    await holders.leave("first")
    assert holders.inside == ["large", "small"]


@pytest.mark.parametrize("admitted", [False, True])
async def test_a_cancelled_caller_holds_nothing(admitted: bool) -> None:
    holders = Holders(Room(10))
    await holders.come("first", 10)
    await holders.come("cancelled", 10)
    await holders.come("next", 10)
    if admitted:
        # It is let in, and cancelled before it gets its turn.
        holders._leave["first"].set()
        await asyncio.sleep(0)
    holders.tasks["cancelled"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await holders.tasks["cancelled"]
    if not admitted:
        await holders.leave("first")
    await asyncio.sleep(0)
    assert holders.inside == ["next"]
