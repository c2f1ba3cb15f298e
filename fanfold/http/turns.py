"""How many requests begin in one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque

_MOST = 8


class Turns:
    """Lets at most `most` requests begin in a turn, in their order.

    Between two turns the loop reads its sockets. A read whose values are all in memory runs to its end without giving the loop back, so all
    that had been admitted would run before the next request is read, be it to refuse it or to answer a probe. Used in one event loop only.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._begun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def begin(self) -> None:
        """Return in a turn in which fewer than `most` have begun."""
        loop = asyncio.get_running_loop()
        if not self._begun:
            loop.call_soon(self._next)
        if self._begun < self._most and not self._waiting:
            self._begun += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < self._most:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next)
