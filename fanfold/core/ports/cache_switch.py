"""Whether the shared cache may be used. This is told in the tables, which writers and readers use in any case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

OFF_S = 60
"""An outage that is not told again within this time has ended: its writer is gone, or has nothing to write."""

EPOCH_KEPT_S = 7 * 24 * 3600
"""Longer than any cached value lives: when an epoch is forgotten, no value from before its outage is left."""


class CacheOutage(NamedTuple):
    """The last outage of the cache that one writer has told. `off`: it has not ended yet."""

    writer_id: str
    epoch: UUID
    off: bool


class CacheSwitch(Protocol):
    """Outages of the shared cache, as its writers saw them.

    A writer that could not tell the cache of a write tells an outage, with an epoch of its own, before it acknowledges
    the write. While any outage lasts, readers bypass the cache; the epochs of all outages together are the cache's epoch, so that nothing
    cached before an outage is used after it.

    A writer id belongs to one running process: two processes would end each other's outages. Each outage has an epoch that was never
    used before. A writer's calls take effect in the order in which they were made, even one that raised `Unavailable`.
    """

    async def outages(self) -> Sequence[CacheOutage]:
        """The last outage of each writer that told one within `EPOCH_KEPT_S`, in order of writer id."""

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        """Tell an outage. It ends by itself after `OFF_S`: a writer whose outage lasts tells it again before that, with the same epoch."""

    async def end(self, writer_id: str, epoch: UUID) -> None:
        """Tell that this outage of the writer has ended; another outage goes on. Its epoch stays."""
