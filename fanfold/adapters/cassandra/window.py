"""The number of batches that a process may have in flight: fewer while Cassandra can't keep up."""

from __future__ import annotations

import asyncio
from collections import deque

NARROWED_TO = 0.5
WIDENED_BY = 0.1


class Window:
    """A semaphore that a failure narrows and answers widen again, between one and `most`.

    A node that has just restarted is slow at first. Batches that it can't answer within the timeout would be retried all at
    once and overload it again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Return when there is room; first come, first served."""
        if not self._waiting and self._taken < int(self._allowed):
            self._taken += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._release()  # it was let in before the cancellation arrived
            raise

    def leave(self, *, answered: bool) -> None:
        """Release the room."""
        change = self._allowed + WIDENED_BY if answered else self._allowed * NARROWED_TO
        self._allowed = min(max(change, 1.0), float(self._most))
        self._release()

    def _release(self) -> None:
        self._taken -= 1
        while self._waiting and self._taken < int(self._allowed):
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._taken += 1
                waiter.set_result(None)
