"""`Ties` in Cassandra."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.statement import Statement
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.ports import Tie

WRITE_MUTE = """
INSERT INTO mutes_by_user (user_id, target_id, active, since_ms, offset) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
MUTES = "SELECT target_id, active, since_ms, offset FROM mutes_by_user WHERE user_id = ?"
ANY_MUTE = MUTES + " LIMIT 1"
MUTE_OF = MUTES + " AND target_id = ?"
MUTES_OF = MUTES + " AND target_id IN ?"
WRITE_BLOCK = """
INSERT INTO blocks_by_user (user_id, target_id, mine, active, since_ms, offset)
VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
BLOCKS = "SELECT target_id, active, since_ms, offset, mine FROM blocks_by_user WHERE user_id = ?"
SOME_BLOCKS = BLOCKS + " LIMIT ?"
BLOCKS_MADE = BLOCKS + " AND mine = true"
ANY_BLOCK_MADE = BLOCKS_MADE + " LIMIT 1"
BLOCKS_BETWEEN = """
SELECT user_id, target_id, active, since_ms, offset, mine FROM blocks_by_user
WHERE user_id IN ? AND target_id IN ? AND mine IN (false, true)
"""

FEW_BLOCKS = 100
"""Most users have fewer, made and suffered. They are read whole where more others than `FEW_OTHERS` are named: a list of 200 names cost ten times as much."""

FEW_OTHERS = 25


class CassandraTies:
    """See `fanfold.core.ports.Ties`."""

    def __init__(
        self, session: CassandraSession, *, batches: BatchWriter, replica_sets: ReplicaSets
    ) -> None:
        self._session = session
        self._batches = batches
        self._write_mute = session.statement(WRITE_MUTE)
        self._mutes = session.statement(MUTES)
        self._any_mute = session.statement(ANY_MUTE)
        self._any_block_made = session.statement(ANY_BLOCK_MADE)
        self._mute_of = session.statement(MUTE_OF)
        self._mutes_of = session.statement(MUTES_OF)
        self._write_block = session.statement(WRITE_BLOCK)
        self._some_blocks = session.statement(SOME_BLOCKS)
        self._blocks_made = session.statement(BLOCKS_MADE)
        self._blocks_between: MultiGet[tuple[str, str]] = MultiGet(
            session,
            session.statement(BLOCKS_BETWEEN),
            replica_sets=replica_sets,
            routing_key=lambda key: key[0].encode(),
            columns=2,
        )

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        await self._batches.write_row(
            self._write_mute, user_id, target_id, active, since_ms, offset, at_offset(offset)
        )

    async def mutes(self, user_id: str) -> dict[str, Tie]:
        return await self._by_target(self._mutes, user_id)

    async def has_tied(self, user_id: str) -> bool:
        found = await asyncio.gather(
            self._session.row(self._any_mute, user_id),
            self._session.row(self._any_block_made, user_id),
        )
        return any(row is not None for row in found)

    async def mute_of(self, user_id: str, target_id: str) -> Tie | None:
        rows = await self._session.rows(self._mute_of, user_id, target_id)
        return _tie(rows[0]) if rows else None

    async def mutes_of(self, user_id: str, target_ids: Collection[str]) -> dict[str, Tie]:
        rows = await self._session.rows(self._mutes_of, user_id, list(dict.fromkeys(target_ids)))
        return {row[0]: _tie(row) for row in rows}

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        state, write_row = (active, since_ms, offset, at_offset(offset)), self._batches.write_row
        # The maker's row last: a worker that dies between the two finds it unwritten at the restart, and writes both again.
        await write_row(self._write_block, target_id, user_id, False, *state)
        await write_row(self._write_block, user_id, target_id, True, *state)

    async def blocks_made(self, user_id: str) -> dict[str, Tie]:
        return await self._by_target(self._blocks_made, user_id)

    async def blocks_with(self, user_id: str, other_ids: Collection[str]) -> list[Tie]:
        if len(other_ids) > FEW_OTHERS:
            rows = await self._session.rows(self._some_blocks, user_id, FEW_BLOCKS)
            if len(rows) < FEW_BLOCKS:
                named = frozenset(other_ids)
                return [_tie(row) for row in rows if row[0] in named]
        keys = [(user_id, other_id) for other_id in other_ids]
        return [_tie(row[1:]) for row in await self._blocks_between.rows(keys)]

    async def blocks_between(self, user_id: str, other_id: str) -> list[Tie]:
        return await self.blocks_with(user_id, (other_id,))

    async def _by_target(self, statement: Statement, user_id: str) -> dict[str, Tie]:
        ties: dict[str, Tie] = {}
        # By page, because 20,000 ties made in one step would hold the event loop for long.
        async for page in self._session.pages(statement, user_id):
            ties.update((row[0], _tie(row)) for row in page)
        return ties


def _tie(row: Row) -> Tie:
    return Tie(*row)
