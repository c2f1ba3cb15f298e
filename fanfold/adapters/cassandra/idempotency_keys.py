"""`IdempotencyKeys` in Cassandra: every change is a lightweight transaction, so that of two requests one wins."""

from __future__ import annotations

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.ports import KeyReservation

# Every change writes the whole row, so that all of it expires together: 24 h (the table's TTL) after the last change.
RESERVE = """
INSERT INTO idempotency_keys (author_id, key, post_id, body_hash, reserved_at_ms)
VALUES (?, ?, ?, ?, ?) IF NOT EXISTS
"""
RENEW = """
UPDATE idempotency_keys SET post_id = ?, body_hash = ?, reserved_at_ms = ?
WHERE author_id = ? AND key = ? IF post_id = ? AND reserved_at_ms = ? AND answer = null
"""
# A request that took the key over kept its post id, so the answers of both are true: the first stays.
ANSWER = """
UPDATE idempotency_keys SET post_id = ?, body_hash = ?, reserved_at_ms = ?, answer = ?
WHERE author_id = ? AND key = ? IF post_id = ? AND answer = null
"""


class CassandraIdempotencyKeys:
    """See `fanfold.core.ports.IdempotencyKeys`."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        # Two of them may be sent twice, as to another node when the first one stops: `reserve` knows its own reservation, and the
        # first answer stays. A renewal that came twice would take itself for a rival.
        self._reserve = session.statement(RESERVE)
        self._renew = session.statement(RENEW, conditional=True)
        self._answer = session.statement(ANSWER)

    async def reserve(
        self, author_id: str, key: str, reservation: KeyReservation
    ) -> KeyReservation | None:
        ours = (reservation.post_id, reservation.body_hash, reservation.reserved_at_ms)
        row = await self._session.row(self._reserve, author_id, key, *ours)
        if row is None or row[0]:
            return None
        # The columns of a refused insert: applied, the key, then the others in order of name.
        _, _, _, answer, body_hash, post_id, reserved_at_ms = row
        held = KeyReservation(post_id, body_hash, reserved_at_ms, answer)
        return None if held == reservation else held

    async def take_over(
        self, author_id: str, key: str, held: KeyReservation, *, now_ms: int
    ) -> bool:
        return await self._renewed(author_id, key, held, now_ms)

    async def release(self, author_id: str, key: str, held: KeyReservation) -> None:
        await self._renewed(author_id, key, held, 0)

    async def answer(self, author_id: str, key: str, held: KeyReservation, answer: str) -> None:
        kept = (held.post_id, held.body_hash, held.reserved_at_ms)
        await self._session.run(self._answer, *kept, answer, author_id, key, held.post_id)

    async def _renewed(
        self, author_id: str, key: str, held: KeyReservation, reserved_at_ms: int
    ) -> bool:
        row = await self._session.row(
            self._renew,
            held.post_id,
            held.body_hash,
            reserved_at_ms,
            author_id,
            key,
            held.post_id,
            held.reserved_at_ms,
        )
        return row is not None and bool(row[0])
