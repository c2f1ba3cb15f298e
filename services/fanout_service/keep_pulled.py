"""Keeps authors in the set of pulled authors for as long as they have pulled posts.

Call it before a pulled post is stored. The order of the steps is why no feed misses the author's posts, see
`fanfold.core.ports.PulledAuthors`: a worker that dies between two of them finds no mark when the record is delivered again, and repeats them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cachetools import FIFOCache

from fanfold.core.clock import Clock
from fanfold.core.ports import PulledAuthors
from fanfold.core.settings import MS_PER_DAY

RENEWED_MS = MS_PER_DAY
"""A row lives this much longer than the post needs, so that the author's posts of the next day need no write of it."""

ARRIVES_WITHIN_S = 10.0
"""An announcement that took longer is made again, with a newer time. Readers allow for more (`LATE_MS`), because clocks differ."""

REMEMBERED = 20_000
"""Authors that this process knows to be kept; 3 MB. A post of any other author costs one read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPulled:
    """A steady celebrity costs one read and one write of a row a day; a new one costs four statements."""

    authors: PulledAuthors
    clock: Clock
    _kept_until_ms: FIFOCache[str, int] = field(default_factory=lambda: FIFOCache(REMEMBERED))

    async def keep(self, author_id: str, *, until_ms: int) -> None:
        """Return once every reader knows the author, or will within a second, until that time. Idempotent."""
        # A row that is written stays, also if another process gets this author: only time ends it.
        if self._kept_until_ms.get(author_id, 0) >= until_ms:
            return
        row = await self.authors.get(author_id)
        if row is None or not row.announced or row.until_ms < until_ms:
            kept_until_ms = until_ms + RENEWED_MS
            await self.authors.keep(author_id, until_ms=kept_until_ms)
            # Read again: if the mark is there now, the old row can't have ended before the new one began.
            if row is not None and row.announced:
                row = await self.authors.get(author_id)
            if row is None or not row.announced:
                await self._announce(author_id)
            await self.authors.mark_announced(author_id, until_ms=kept_until_ms)
        else:
            kept_until_ms = row.until_ms
        self._kept_until_ms[author_id] = kept_until_ms

    async def _announce(self, author_id: str) -> None:
        took_s = float("inf")
        while took_s > ARRIVES_WITHIN_S:
            began_s = self.clock.monotonic_s()
            await self.authors.announce(author_id, at_ms=self.clock.now_ms())
            took_s = self.clock.monotonic_s() - began_s
