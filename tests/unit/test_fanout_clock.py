from __future__ import annotations

import asyncio

from tests.support.clock import START_MS, ManualClock


async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before() -> None:
    clock = ManualClock()
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now_ms() - START_MS))

    tasks = [asyncio.create_task(sleeper("late", 2)), asyncio.create_task(sleeper("early", 1))]
    await asyncio.sleep(0)
    assert clock.sleeping == 2
    clock.advance(1.5)
    await tasks[1]
    assert woken == [("early", 1500)]
    clock.advance(0.5)
    await tasks[0]
    assert woken == [("early", 1500), ("late", 2000)]
    assert clock.monotonic_s() == 2


async def test_a_jumping_clock_moves_by_what_is_slept() -> None:
    clock = ManualClock(autojump=True)
    await clock.sleep(0.25)
    await clock.sleep(1)
    assert clock.now_ms() == START_MS + 1250
    assert clock.slept_s == [0.25, 1]
