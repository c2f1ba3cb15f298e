"""`IdempotencyKeys` in memory."""

from __future__ import annotations

from dataclasses import replace

from fanfold.core.clock import Clock
from fanfold.core.ports import KeyReservation

KEY_TTL_MS = 24 * 3600 * 1000


class MemoryIdempotencyKeys:
    """See `fanfold.core.ports.IdempotencyKeys`. Forgotten at a restart."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[tuple[str, str], tuple[int, KeyReservation]] = {}

    async def reserve(
        self, author_id: str, key: str, reservation: KeyReservation
    ) -> KeyReservation | None:
        held = self._held(author_id, key)
        if held is None:
            self._keep(author_id, key, reservation)
        return None if held == reservation else held

    async def take_over(
        self, author_id: str, key: str, held: KeyReservation, *, now_ms: int
    ) -> bool:
        if self._held(author_id, key) != held or held.answer is not None:
            return False
        self._keep(author_id, key, replace(held, reserved_at_ms=now_ms))
        return True

    async def release(self, author_id: str, key: str, held: KeyReservation) -> None:
        if self._held(author_id, key) == held and held.answer is None:
            self._keep(author_id, key, replace(held, reserved_at_ms=0))

    async def answer(self, author_id: str, key: str, held: KeyReservation, answer: str) -> None:
        # A request that took the key over kept its post id, so the answers of both are true: the first stays.
        now = self._held(author_id, key)
        if now is not None and now.post_id == held.post_id and now.answer is None:
            self._keep(author_id, key, replace(now, answer=answer))

    def _held(self, author_id: str, key: str) -> KeyReservation | None:
        expires_ms, held = self._keys.get((author_id, key), (0, None))
        return held if expires_ms > self._clock.now_ms() else None

    def _keep(self, author_id: str, key: str, reservation: KeyReservation) -> None:
        # Re-inserting keeps the dict in order of expiry: the expired keys come first.
        self._keys.pop((author_id, key), None)
        self._keys[author_id, key] = (self._clock.now_ms() + KEY_TTL_MS, reservation)
        while (oldest := next(iter(self._keys))) and self._keys[oldest][0] <= self._clock.now_ms():
            del self._keys[oldest]
