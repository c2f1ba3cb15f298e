"""Idempotency keys of publications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeyReservation:
    """An idempotency key's row. `answer` is None while the request that reserved it is in flight."""

    post_id: UUID
    body_hash: str
    reserved_at_ms: int
    answer: str | None = None


class IdempotencyKeys(Protocol):
    """Idempotency keys, each kept for 24 h after its last change. Every change is linearizable."""

    async def reserve(
        self, author_id: str, key: str, reservation: KeyReservation
    ) -> KeyReservation | None:
        """Reserve a key. None when it was free or is held by this very reservation; else the row that holds it."""

    async def take_over(
        self, author_id: str, key: str, held: KeyReservation, *, now_ms: int
    ) -> bool:
        """Renew an abandoned reservation, keeping its post id. False when another request was faster."""

    async def release(self, author_id: str, key: str, held: KeyReservation) -> None:
        """Let the next request take the key over at once (its `reserved_at_ms` becomes 0)."""

    async def answer(self, author_id: str, key: str, held: KeyReservation, answer: str) -> None:
        """Keep the answer for every later request with the key. The first answer stays."""
