"""Tickets: each is a credential for one request that can send no header. Its user has shown another credential before."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

VALID_S: Final = 30
"""A page asks for a ticket and uses it at once; the rest is a slow network."""


class Ticket(NamedTuple):
    """What a ticket opens, and the credential that it was given out for: its times are seconds since the Unix epoch."""

    user_id: str
    path: str
    issued_s: float
    expires_s: float | None
    token_id: str | None
    made_at_ms: int


class Tickets(Protocol):
    """Tickets by their digest. Each is forgotten after `VALID_S`. Every change is linearizable."""

    async def keep(self, digest: bytes, ticket: Ticket) -> None:
        """Keep a new ticket."""

    async def take(self, digest: bytes) -> Ticket | None:
        """The ticket, for one caller only; None if there is none, or another was faster.

        When it raises, the ticket may be gone.
        """
