"""How much a worker has in hand at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Room for `most` of something, first come, first served. An amount larger than all of it takes all of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, amount: int) -> AsyncIterator[None]:
        """Wait until there is as much room, and hold it."""
        amount = min(amount, self._most)
        if self._waiting or self._free < amount:
            admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((amount, admitted))
            try:
                await admitted
            except asyncio.CancelledError:
                if not admitted.cancelled():
                    self._leave(amount)  # it was let in before the cancellation arrived
                raise
        else:
            self._free -= amount
        try:
            yield
        finally:
            self._leave(amount)

    def _leave(self, amount: int) -> None:
        self._free += amount
        while self._waiting:
            amount, admitted = self._waiting[0]
            if admitted.done():
                self._waiting.popleft()  # cancelled
                continue
            if self._free < amount:
                return
            self._waiting.popleft()
            self._free -= amount
            admitted.set_result(None)
