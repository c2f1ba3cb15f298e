"""How far the activity sweep has come."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class SweepCheckpoint(NamedTuple):
    """How far a sweep has come: past `after_id`, None at its beginning, with `users` looked at. The last whole one had `last_users`.

    `at_ms` is when it was written.
    """

    after_id: str | None = None
    users: int = 0
    last_users: int = 0
    at_ms: int = 0


class Sweeps(Protocol):
    """Losing it makes a sweep start over."""

    async def checkpoint(self) -> SweepCheckpoint:
        """The latest one; before the first, an empty one."""

    async def write(self, checkpoint: SweepCheckpoint) -> None:
        """Remember it. Of several, the one with the latest `at_ms` stays."""
