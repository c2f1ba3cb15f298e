"""The graph of sizes: authors by their number of followers, against the threshold."""

from __future__ import annotations

import asyncio
import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from fanfold.core.clock import Clock
from fanfold.core.ports import User, Users

MOST_USERS = 10_000
"""Users that are looked at. The tables give them in no order, so these are as good as any."""
LARGEST = 20
KEPT_S = 30.0
_YIELD_EVERY = 500


class Sizes:
    """The graph, made at most every `KEPT_S`: it reads thousands of rows."""

    def __init__(self, users: Users, clock: Clock, *, threshold: int, hysteresis: float) -> None:
        self._users = users
        self._clock = clock
        self._threshold = threshold
        self._hysteresis = hysteresis
        self._kept: tuple[float, dict[str, Any]] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def graph(self) -> dict[str, Any]:
        """Numbers of users by bars of followers, and the largest of them. Raises `Unavailable`.

        The bars are whole: from that of 0 to that of the threshold or, if that is higher, of the largest author.
        """
        async with self._one_at_a_time:
            now_s = self._clock.monotonic_s()
            if self._kept is None or now_s - self._kept[0] >= KEPT_S:
                self._kept = now_s, await self._read()
            return self._kept[1]

    async def _read(self) -> dict[str, Any]:
        bars: dict[int, dict[str, int]] = {}
        largest: list[tuple[int, str, str]] = []
        looked_at, whole = 0, True
        async for user in self._users.all_users():
            if looked_at == MOST_USERS:
                whole = False
                break
            looked_at += 1
            _count(bars, user)
            _keep(largest, user)
            if looked_at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        lows = lows_up_to(max([self._threshold, *bars]))
        return {
            "threshold": self._threshold,
            "pushed_again_below": self._threshold * self._hysteresis,
            "users": looked_at,
            "all_users": whole,
            "threshold_at": place_of(self._threshold, lows),
            "bars": [{"push": 0, "pull": 0, **bars.get(low, {}), "from": low} for low in lows],
            "largest": [
                {"user_id": user_id, "followers": followers, "delivery": delivery}
                for followers, user_id, delivery in sorted(largest, reverse=True)
            ],
        }


def lows_up_to(highest: int) -> list[int]:
    """The lowest numbers of bars: 0, 1, 2, 5, 10, 20, 50, 100 and so on, up to the bar of `highest`."""
    lows = [0, 1, 2, 5]
    while lows[-1] <= highest:
        lows += [10 * low for low in lows[-3:]]
    return [low for low in lows if low <= highest]


def lowest_of(followers: int) -> int:
    """The lowest number in the same bar."""
    return lows_up_to(followers)[-1]


def place_of(threshold: int, lows: Sequence[int]) -> float:
    """Where the threshold, of 1 or more, lies among these bars, as a share of their width; within its bar on a logarithmic scale."""
    below = bisect_right(lows, threshold) - 1
    low, following = lows_up_to(10 * threshold)[below : below + 2]
    return (below + math.log(threshold / low) / math.log(following / low)) / len(lows)


def _count(bars: dict[int, dict[str, int]], user: User) -> None:
    bar = bars.setdefault(lowest_of(user.follower_count), {"push": 0, "pull": 0})
    bar[user.delivery] += 1


def _keep(largest: list[tuple[int, str, str]], user: User) -> None:
    entry = (user.follower_count, user.user_id, user.delivery)
    push: Callable[..., Any] = heapq.heappush if len(largest) < LARGEST else heapq.heappushpop
    push(largest, entry)
