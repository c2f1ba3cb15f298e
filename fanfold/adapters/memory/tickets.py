"""`Tickets` in memory."""

from __future__ import annotations

from fanfold.core.clock import Clock
from fanfold.core.ports.tickets import VALID_S, Ticket

MOST = 10_000
"""A flood of tickets pushes out the oldest: this process has no gateway that bounds them."""


class MemoryTickets:
    """See `fanfold.core.ports.tickets.Tickets`. Forgotten at a restart."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        # In order of expiry.
        self._kept: dict[bytes, tuple[float, Ticket]] = {}

    async def keep(self, digest: bytes, ticket: Ticket) -> None:
        now_s = self._clock.monotonic_s()
        self._kept[digest] = (now_s + VALID_S, ticket)
        while len(self._kept) > MOST or self._expiry(next(iter(self._kept))) <= now_s:
            del self._kept[next(iter(self._kept))]

    async def take(self, digest: bytes) -> Ticket | None:
        expires_s, ticket = self._kept.pop(digest, (0.0, None))
        return ticket if expires_s > self._clock.monotonic_s() else None

    def _expiry(self, digest: bytes) -> float:
        return self._kept[digest][0]
