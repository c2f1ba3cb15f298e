"""`Ties` in Cassandra."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from fanfold.adapters.cassandra.session import CassandraSession, Row, Statement
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.ports import Tie

WRITE_MUTE = """
INSERT INTO mutes_by_user (user_id, target_id, active, since_ms, offset) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
MUTES = "SELECT target_id, active, since_ms, offset FROM mutes_by_user WHERE user_id = ?"
MUTE_OF = MUTES + " AND target_id = ?"
MUTES_OF = MUTES + " AND target_id IN ?"
WRITE_BLOCK = """
INSERT INTO blocks_by_user (user_id, target_id, mine, active, since_ms, offset)
VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
BLOCKS = "SELECT target_id, active, since_ms, offset, mine FROM blocks_by_user WHERE user_id = ?"
BLOCKS_MADE = BLOCKS + " AND mine = true"
BLOCKS_WITH = BLOCKS + " AND mine IN (false, true) AND target_id IN ?"
BLOCKS_BETWEEN = BLOCKS + " AND mine IN (false, true) AND target_id = ?"

OTHERS_IN_A_READ = 100
"""Each is two rows, looked up one by one in the server."""


class CassandraTies:
    """See `fanfold.core.ports.Ties`."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._write_mute = session.statement(WRITE_MUTE)
        self._mutes = session.statement(MUTES)
        self._mute_of = session.statement(MUTE_OF)
        self._mutes_of = session.statement(MUTES_OF)
        self._write_block = session.statement(WRITE_BLOCK)
        self._blocks_made = session.statement(BLOCKS_MADE)
        self._blocks_with = session.statement(BLOCKS_WITH)
        self._blocks_between = session.statement(BLOCKS_BETWEEN)

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        await self._session.run(
            self._write_mute, user_id, target_id, active, since_ms, offset, at_offset(offset)
        )

    async def mutes(self, user_id: str) -> dict[str, Tie]:
        return await self._by_target(self._mutes, user_id)

    async def mute_of(self, user_id: str, target_id: str) -> Tie | None:
        rows = await self._session.rows(self._mute_of, user_id, target_id)
        return _tie(rows[0]) if rows else None

    async def mutes_of(self, user_id: str, target_ids: Collection[str]) -> dict[str, Tie]:
        rows = await self._session.rows(self._mutes_of, user_id, list(dict.fromkeys(target_ids)))
        return {row[0]: _tie(row) for row in rows}

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        state = (active, since_ms, offset, at_offset(offset))
        # The maker's row last: a worker that dies between the two finds it unwritten at the restart, and writes both again.
        await self._session.run(self._write_block, target_id, user_id, False, *state)
        await self._session.run(self._write_block, user_id, target_id, True, *state)

    async def blocks_made(self, user_id: str) -> dict[str, Tie]:
        return await self._by_target(self._blocks_made, user_id)

    async def blocks_with(self, user_id: str, other_ids: Collection[str]) -> list[Tie]:
        ids = list(dict.fromkeys(other_ids))
        reads = (
            self._session.rows(self._blocks_with, user_id, ids[i : i + OTHERS_IN_A_READ])
            for i in range(0, len(ids), OTHERS_IN_A_READ)
        )
        return [_tie(row) for rows in await asyncio.gather(*reads) for row in rows]

    async def blocks_between(self, user_id: str, other_id: str) -> list[Tie]:
        rows = await self._session.rows(self._blocks_between, user_id, other_id)
        return [_tie(row) for row in rows]

    async def _by_target(self, statement: Statement, user_id: str) -> dict[str, Tie]:
        ties: dict[str, Tie] = {}
        # By page, because 20,000 ties made in one step would hold the event loop for long.
        async for page in self._session.pages(statement, user_id):
            ties.update((row[0], _tie(row)) for row in page)
        return ties


def _tie(row: Row) -> Tie:
    return Tie(*row)
