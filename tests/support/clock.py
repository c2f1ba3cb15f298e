"""A virtual clock: tests of time neither wait nor depend on the machine."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

A_DAY_MS = 24 * 3600 * 1000
START_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z


class ManualClock:
    """Implements `fanfold.core.clock.Clock`; time moves only when the test says so.

    `advance` moves it and wakes every sleeper that is due, which then runs at the test's next await. With
    `autojump=True` a sleep moves the clock itself, so that code that backs off finishes without a second task.
    """

    def __init__(self, now_ms: int = START_MS, *, autojump: bool = False) -> None:
        self._start_ms = now_ms
        self._elapsed_ms = 0.0
        self._autojump = autojump
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.slept_s: list[float] = []
        """Every sleep that was asked for, in order."""

    def now_ms(self) -> int:
        return self._start_ms + int(self._elapsed_ms)

    def monotonic_s(self) -> float:
        return self._elapsed_ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        due = self._elapsed_ms + seconds * 1000
        if self._autojump:
            self._move_to(max(due, self._elapsed_ms))
        if due <= self._elapsed_ms:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Move on by that long and wake the sleepers that are due, earliest first."""
        self._move_to(self._elapsed_ms + seconds * 1000)

    @property
    def sleeping(self) -> int:
        """How many are asleep: what a test waits for before it advances."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def _move_to(self, elapsed_ms: float) -> None:
        while self._sleepers and self._sleepers[0][0] <= elapsed_ms:
            due, _, woken = heapq.heappop(self._sleepers)
            self._elapsed_ms = max(self._elapsed_ms, due)
            if not woken.done():
                woken.set_result(None)
        self._elapsed_ms = elapsed_ms
