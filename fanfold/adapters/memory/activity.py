"""`Activity` in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fanfold.adapters.memory.cells import Table


class MemoryActivity:
    """See `fanfold.core.ports.Activity`. Forgotten at a restart, as the port allows."""

    def __init__(self) -> None:
        self._reads: Table[str] = Table()

    async def note_read(self, user_id: str, *, at_ms: int) -> None:
        self._reads.write(user_id, at_ms, at_ms=at_ms)

    async def last_reads(self, user_ids: Collection[str]) -> Mapping[str, int]:
        found = {user_id: self._reads.row(user_id) for user_id in user_ids}
        return {user_id: row["at_ms"] for user_id, row in found.items() if row is not None}
