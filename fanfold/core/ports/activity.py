"""When users last read a feed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Activity(Protocol):
    """The one thing here that isn't in the log: losing it makes users who read look as if they slept, and no more."""

    async def note_read(self, user_id: str, *, at_ms: int) -> None:
        """Record that a feed was read; the latest stays."""

    async def last_reads(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When each of them last read a feed; who never did is absent."""
