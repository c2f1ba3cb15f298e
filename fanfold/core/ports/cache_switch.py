"""Whether the shared cache may be used, told in the tables, where writers and readers look in any case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID


class CacheOutage(NamedTuple):
    """The last outage of the cache that one writer has told. `off`: it has not ended yet."""

    writer_id: str
    epoch: UUID
    off: bool


class CacheSwitch(Protocol):
    """Outages of the shared cache, as its writers saw them.

    A writer that could not tell the cache of a write tells an outage, with an epoch of its own, before it acknowledges
    the write. While any outage is off, readers pass the cache by; the epochs of all outages together are the cache's epoch, so that nothing
    cached before an outage is used after it. Rows outlive every cached value.
    """

    async def outages(self) -> Sequence[CacheOutage]:
        """The last outage of each writer, in order of writer id."""

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        """Tell an outage. It ends by itself after a minute: a writer whose outage lasts tells it again, with the same epoch."""

    async def end(self, writer_id: str, epoch: UUID) -> None:
        """Tell that this writer's outage has ended. Its epoch stays."""
