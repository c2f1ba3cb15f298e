"""`Tickets` in Cassandra: lightweight transactions, so that of two requests with one ticket one wins."""

from __future__ import annotations

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.ports.tickets import Ticket

# Conditional too, because a transaction deletes the row: without one its timestamp would come from another clock than the deletion's.
KEEP = """
INSERT INTO tickets (digest, user_id, path, issued_s, expires_s, token_id, made_at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS
"""
FIND = """
SELECT user_id, path, issued_s, expires_s, token_id, made_at_ms FROM tickets WHERE digest = ?
"""
TAKE = "DELETE FROM tickets WHERE digest = ? IF EXISTS"


class CassandraTickets:
    """See `fanfold.core.ports.tickets.Tickets`."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._keep = session.statement(KEEP, conditional=True)
        self._find = session.statement(FIND)
        self._take = session.statement(TAKE, conditional=True)

    async def keep(self, digest: bytes, ticket: Ticket) -> None:
        await self._session.run(self._keep, digest, *ticket)

    async def take(self, digest: bytes) -> Ticket | None:
        row = await self._session.row(self._find, digest)
        if row is None:
            return None
        taken = await self._session.row(self._take, digest)
        return Ticket(*row) if taken is not None and taken[0] else None
