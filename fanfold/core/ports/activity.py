"""When users last read a feed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Activity(Protocol):
    """The only data that is not in the log. Losing it makes active users look asleep, and does no other harm."""

    async def note_reads(self, at_ms: Mapping[str, int]) -> None:
        """Record when each of these users read their feed. Of several times of a user the latest stays."""

    async def last_reads(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When each user last read a feed. Users who never did are absent."""
