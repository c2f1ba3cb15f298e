"""The set of pulled authors as one process knows it: read whole at its start, and from then on only what is new.

So what a process spends depends on how many authors become pulled, and not on how many are.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import suppress

from fanfold.core.clock import Clock
from fanfold.core.errors import FanfoldError, Transient, Unavailable
from fanfold.core.ports import PulledAuthors
from fanfold.core.ports.pulled_authors import ANNOUNCED_KEPT_MS, LATE_MS
from feed_service.budget import within
from feed_service.caches.cache import Cache

_LOG = logging.getLogger(__name__)

_MAX_AGE_S = 1.0  # of the last look for new authors; the overlap of push and pull covers this delay

PAGE = 1000
"""Authors read at a time, so that a step of the event loop takes about a millisecond."""

READ_AGAIN_S = 3600.0
"""How often the set is read whole again, to drop authors who have left it. They cost an empty answer until then."""

_TRY_AGAIN_S = 60.0
_FIRST_READ_S = 10.0
_MOST_BEHIND_MS = ANNOUNCED_KEPT_MS - 2 * LATE_MS


class PulledSet:
    """Which authors have pulled posts. An author who has none any more may be in it for some hours."""

    def __init__(
        self,
        authors: PulledAuthors,
        *,
        clock: Clock,
        budget_s: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._authors = authors
        self._clock = clock
        self._budget_s = budget_s
        self._chance = chance
        self._ids: set[str] = set()
        # None: the set has to be read whole, before anything is known.
        self._looked_ms: int | None = None
        self._reading: asyncio.Task[int] | None = None
        self._read_again_s = 0.0
        # What is being read now. A look that ends meanwhile adds to it too: it may be too late for the pages.
        self._read: set[str] = set()
        self._current: Cache[None, Set[str]] = Cache(
            "pulled_authors", self._load, size=1, ttl_s=_MAX_AGE_S, clock=clock
        )

    async def begin(self) -> None:
        """Read the set for the first time, so that no request waits for it. Returns after `_FIRST_READ_S` in any case; the read goes on."""
        with suppress(Unavailable):
            await within(_FIRST_READ_S, asyncio.shield(self._begin_reading()))

    async def get(self) -> Set[str]:
        """The set, at most a second old. Don't keep it. Raises `Unavailable`, at the latest after the budget."""
        return (await self._current.get((None,)))[None]

    async def refresh_forever(self, every_s: float) -> None:
        """Look for new authors for ever, so that no request has to. While the store is away, this keeps trying."""
        while True:
            try:
                await self._current.refresh(None)
            except Transient as error:
                _LOG.warning("the pulled authors can't be read: %s", error)
            await self._clock.sleep(every_s)

    async def close(self) -> None:
        """Cancel the reads in flight."""
        await self._current.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _load(self, _: Collection[None]) -> dict[None, Set[str]]:
        await within(self._budget_s, self._bring_up_to_date())
        return {None: self._ids}

    async def _bring_up_to_date(self) -> None:
        looked_ms = self._looked_ms
        while True:
            if looked_ms is None:
                # Shielded: it may take longer than a request can wait, and then it serves a later one.
                looked_ms = await asyncio.shield(self._begin_reading())
            elif self._clock.monotonic_s() >= self._read_again_s:
                self._begin_reading()
            began_ms = self._clock.now_ms()
            new = await self._authors.announced(since_ms=looked_ms - LATE_MS)
            self._add(new)
            # After the look: the process may have been stopped for hours in the middle of it.
            if self._clock.now_ms() - looked_ms <= _MOST_BEHIND_MS:
                self._looked_ms = began_ms
                return
            looked_ms = self._looked_ms = None  # announcements since then may be gone

    def _add(self, author_ids: Sequence[str]) -> None:
        # Interned, because the same authors are in thousands of viewer graphs.
        self._ids.update(map(sys.intern, author_ids))
        self._read.update(map(sys.intern, author_ids))

    def _begin_reading(self) -> asyncio.Task[int]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_whole())
            self._reading.add_done_callback(_log_failure)
        return self._reading

    async def _read_whole(self) -> int:
        self._read_again_s = self._clock.monotonic_s() + _TRY_AGAIN_S
        began_ms = self._clock.now_ms()
        self._read = set()
        page = await self._authors.page(None, limit=PAGE)
        while True:
            self._read.update(map(sys.intern, page.author_ids))
            if page.next is None:
                break
            page = await self._authors.page(page.next, limit=PAGE)
        self._ids, self._read = self._read, set()
        # Spread, so that processes that were started together don't read together.
        again_in_s = READ_AGAIN_S * (0.5 + self._chance())
        self._read_again_s = self._clock.monotonic_s() + again_in_s
        if self._looked_ms is None:
            self._looked_ms = began_ms
        return began_ms


def _log_failure(reading: asyncio.Task[int]) -> None:
    if not reading.cancelled() and (error := reading.exception()) is not None:
        level = logging.WARNING if isinstance(error, FanfoldError) else logging.ERROR
        _LOG.log(level, "the pulled authors can't be read whole: %s", error)
