"""When users last read a feed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Activity(Protocol):
    """The only data that is not in the log. Losing it makes active users look asleep, and does no other harm."""

    async def note_read(self, user_id: str, *, at_ms: int) -> None:
        """Record that a feed was read. The latest time stays."""

    async def last_reads(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When each user last read a feed. Users who never did are absent."""
