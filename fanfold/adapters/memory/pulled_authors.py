"""`PulledAuthors` in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from sortedcontainers import SortedDict

from fanfold.core.clock import Clock
from fanfold.core.ports import PulledAuthor, PulledPage
from fanfold.core.ports.pulled_authors import ANNOUNCED_KEPT_MS


@dataclass(slots=True)
class _Row:
    until_ms: int = 0
    announced_until_ms: int = 0


class MemoryPulledAuthors:
    """See `fanfold.core.ports.PulledAuthors`. Expired authors are removed when a page is read, announcements when the next is made."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._rows: SortedDict = SortedDict()
        self._announced: deque[tuple[int, str]] = deque()

    async def get(self, author_id: str) -> PulledAuthor | None:
        row: _Row | None = self._rows.get(author_id)
        if row is None or not self._lives(row.until_ms):
            return None
        return PulledAuthor(row.until_ms, self._lives(row.announced_until_ms))

    async def keep(self, author_id: str, *, until_ms: int) -> None:
        row = self._rows.setdefault(author_id, _Row())
        row.until_ms = max(row.until_ms, until_ms)

    async def mark_announced(self, author_id: str, *, until_ms: int) -> None:
        row = self._rows.setdefault(author_id, _Row())
        row.announced_until_ms = max(row.announced_until_ms, until_ms)

    async def announce(self, author_id: str, *, at_ms: int) -> None:
        kept_since_ms = self._clock.now_ms() - ANNOUNCED_KEPT_MS
        while self._announced and self._announced[0][0] < kept_since_ms:
            self._announced.popleft()
        self._announced.append((at_ms, author_id))

    async def announced(self, *, since_ms: int) -> list[str]:
        since_ms = max(since_ms, self._clock.now_ms() - ANNOUNCED_KEPT_MS)
        return [author_id for at_ms, author_id in self._announced if at_ms >= since_ms]

    async def page(self, after: tuple[int, str] | None, *, limit: int) -> PulledPage:
        last = "" if after is None else after[1]
        found = list(islice(self._rows.irange(last, inclusive=(False, True)), limit))
        living = [author_id for author_id in found if self._lives(self._rows[author_id].until_ms)]
        for author_id in set(found).difference(living):
            del self._rows[author_id]
        return PulledPage(living, (0, found[-1]) if len(found) == limit else None)

    def _lives(self, until_ms: int) -> bool:
        return until_ms > self._clock.now_ms()
