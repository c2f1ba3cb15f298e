"""`Ties` in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from fanfold.adapters.memory.cells import PAGE_ROWS, ClusteredTable, Row
from fanfold.core.ports import Tie


class MemoryTies:
    """See `fanfold.core.ports.Ties`."""

    def __init__(self) -> None:
        # A tie's columns are always written together, so they share one cell.
        self._mutes: ClusteredTable[str, str] = ClusteredTable()
        self._blocks: ClusteredTable[str, tuple[bool, str]] = ClusteredTable()

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        self._mutes.write(user_id, target_id, offset, state=(active, since_ms, offset))

    async def mutes(self, user_id: str) -> dict[str, Tie]:
        return {
            target_id: _tie(target_id, row)
            async for page in self._mutes.pages(user_id)
            for target_id, row in page
        }

    async def has_tied(self, user_id: str) -> bool:
        made = self._mutes.rows(user_id), self._blocks.rows(user_id, above=(True, ""))
        return any(True for rows in made for _ in rows)

    async def mute_of(self, user_id: str, target_id: str) -> Tie | None:
        row = self._mutes.row(user_id, target_id)
        return None if row is None else _tie(target_id, row)

    async def mutes_of(self, user_id: str, target_ids: Collection[str]) -> dict[str, Tie]:
        rows = ((target_id, self._mutes.row(user_id, target_id)) for target_id in target_ids)
        return {target_id: _tie(target_id, row) for target_id, row in rows if row is not None}

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        state = (active, since_ms, offset)
        self._blocks.write(target_id, (False, user_id), offset, state=state)
        self._blocks.write(user_id, (True, target_id), offset, state=state)

    async def blocks_made(self, user_id: str) -> dict[str, Tie]:
        return {
            target_id: _tie(target_id, row)
            async for page in self._blocks.pages(user_id, above=(True, ""))
            for (_, target_id), row in page
        }

    async def blocks_with(self, user_id: str, other_ids: Collection[str]) -> list[Tie]:
        found: list[Tie] = []
        for number, other_id in enumerate(dict.fromkeys(other_ids), start=1):
            found += await self.blocks_between(user_id, other_id)
            if number % PAGE_ROWS == 0:
                await asyncio.sleep(0)  # so that no step of the event loop is long
        return found

    async def blocks_between(self, user_id: str, other_id: str) -> list[Tie]:
        rows = ((mine, self._blocks.row(user_id, (mine, other_id))) for mine in (False, True))
        return [replace(_tie(other_id, row), mine=mine) for mine, row in rows if row is not None]


def _tie(other_id: str, row: Row) -> Tie:
    active, since_ms, offset = row["state"]
    return Tie(other_id, active, since_ms, offset)
