"""`Sweeps` in memory."""

from __future__ import annotations

from fanfold.adapters.memory.cells import Table
from fanfold.core.ports import SweepCheckpoint


class MemorySweeps:
    """See `fanfold.core.ports.Sweeps`. Forgotten at a restart, as the port allows."""

    def __init__(self) -> None:
        self._rows: Table[int] = Table()

    async def checkpoint(self) -> SweepCheckpoint:
        row = self._rows.row(0)
        if row is None:
            return SweepCheckpoint()
        after_id, *others = row["checkpoint"]
        return SweepCheckpoint(after_id or None, *others)

    async def write(self, checkpoint: SweepCheckpoint) -> None:
        # None would not compare.
        after_id = checkpoint.after_id or ""
        self._rows.write(0, checkpoint.at_ms, checkpoint=checkpoint._replace(after_id=after_id))
