"""`Activity` in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fanfold.adapters.memory.cells import Table


class MemoryActivity:
    """See `fanfold.core.ports.Activity`. Forgotten at a restart, as the port allows."""

    def __init__(self) -> None:
        self._reads: Table[str] = Table()

    async def note_reads(self, at_ms: Mapping[str, int]) -> None:
        for user_id, read_ms in at_ms.items():
            self._reads.write(user_id, read_ms, at_ms=read_ms)

    async def last_reads(self, user_ids: Collection[str]) -> Mapping[str, int]:
        found = {user_id: self._reads.row(user_id) for user_id in user_ids}
        return {user_id: row["at_ms"] for user_id, row in found.items() if row is not None}
