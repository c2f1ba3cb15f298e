"""`Revocations` in Cassandra: one partition, so that a process reads the whole list with one statement."""

from __future__ import annotations

from collections.abc import Sequence

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.ports.revocations import Revocation

SHARD = 0

# The time is the timestamp, so that of two revocations the later stays, in whatever order they arrive.
REVOKE = "INSERT INTO revocations (shard, kind, value, at_ms) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
REVOKED = "SELECT kind, value, at_ms FROM revocations WHERE shard = ?"


class CassandraRevocations:
    """See `fanfold.core.ports.Revocations`."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._revoke = session.statement(REVOKE)
        self._revoked = session.statement(REVOKED)

    async def revoke(self, revocation: Revocation) -> None:
        await self._session.run(self._revoke, SHARD, *revocation, revocation.at_ms * 1000)

    async def revoked(self) -> Sequence[Revocation]:
        return [Revocation(*row) for row in await self._session.rows(self._revoked, SHARD)]
