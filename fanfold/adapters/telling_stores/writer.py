"""Telling the shared cache of a write, or else telling the tables that the cache can't be used.

Promise: once `forget` or `push` has returned, a reader that goes by `CacheEpoch` finds nothing older than the write, at the
latest a second later. The tables were written before the call. There are two ways to return:

* The cache was told. The old value is gone, and so is every lease that was given before the tables were written.
* The write *relies on an outage*: it found, after its rows were written, an outage that has not been ended, and returns once
  `CacheSwitch.begin` has succeeded for it. Values from before the outage have another stamp. While it is off, none is
  filled. A value that is filled after the outage was read after it, so from tables that hold the row.

So the order of four things matters:

* *An outage is ended in memory first, in the tables second.* The next write then doesn't rely on it, but tells the cache. If the tables came first, a reader
  could fill a value between that and a write that still relies on the outage.
* *An outage of which `begin` has failed is never relied on, nor told again.* It may take effect at any time, and end by itself unseen. The next failure
  begins another one. The writes that waited for it raise, and are repeated.
* *An outage is told again before it ends by itself.* If nothing was written for a while and that did not happen, readers may have filled
values since. Then the next failure begins another outage, whose epoch drops these values.
* *A failure after an outage's end begins another outage.* `CacheSwitch` keeps the calls of this process in order, so that the end
  of one, however late it arrives, doesn't end the next.

If `end` fails, the outage ends by itself within a minute: until then readers bypass the cache, and nothing else happens. The same holds
for the outage of a process that died.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

from fanfold.core.clock import Clock
from fanfold.core.errors import FanfoldError, Unavailable
from fanfold.core.ports import CacheSwitch
from fanfold.core.ports.cache_switch import OFF_S
from fanfold.core.ports.shared_cache import SharedCache

TRY_EVERY_S = 0.5
"""Writes wait for a cache that is away twice a second at most."""

TELL_AGAIN_S = OFF_S / 3
RELIED_ON_S = OFF_S * 2 / 3
"""The rest of a minute is for clocks of the tables that differ, and for a statement that is slow to arrive."""

_log = logging.getLogger(__name__)


class CacheWriter:
    """Tells the cache, for all writes of one process, in one event loop. Raises `Unavailable` if neither cache nor tables could be told."""

    def __init__(
        self, cache: SharedCache, switch: CacheSwitch, *, writer_id: str, clock: Clock
    ) -> None:
        self._cache = cache
        self._switch = switch
        self._writer_id = writer_id
        self._clock = clock
        self._outage: _Outage | None = None

    async def forget(self, *keys: str) -> None:
        """After a write to the tables: forget the values that the write may have outdated."""
        if keys:
            await self._tell(lambda: self._cache.forget(keys))

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        """After pointers were written: put them into the lists that are cached."""
        await self._tell(lambda: self._cache.push(entries, user_ids))

    async def _tell(self, tell: Callable[[], Awaitable[None]]) -> None:
        outage = self._outage
        if outage is not None:
            now_s = self._clock.monotonic_s()
            if now_s < outage.tried_s + TRY_EVERY_S:
                await self._rely_on_outage()
                return
            outage.tried_s = now_s
        try:
            await tell()
        except Unavailable as error:
            _log.info("the shared cache was not told: %s", error)
            await self._rely_on_outage()
            return
        # Only a question that was asked during the outage shows that the outage is over.
        if outage is not None and outage is self._outage:
            self._outage = None
            await self._end(outage)

    async def _rely_on_outage(self) -> None:
        # No await before the outage is chosen: it has not been ended, and the rows are written.
        now_s = self._clock.monotonic_s()
        outage = self._outage
        if outage is None or outage.told_before(now_s - RELIED_ON_S):
            _log.warning("the shared cache is away: readers bypass it")
            outage = self._outage = _Outage(uuid4(), tried_s=now_s)
        if outage.telling is None and (
            outage.told_s is None or outage.told_before(now_s - TELL_AGAIN_S)
        ):
            outage.telling = asyncio.create_task(self._begin(outage))
        if outage.telling is not None:
            # Shielded: others wait for it too.
            failure = await asyncio.shield(outage.telling)
            if failure is not None:
                raise failure

    async def _begin(self, outage: _Outage) -> FanfoldError | None:
        began_s = self._clock.monotonic_s()
        try:
            await self._switch.begin(self._writer_id, outage.epoch)
        except FanfoldError as error:
            if outage is self._outage:
                self._outage = None
            return error
        finally:
            outage.telling = None
        outage.told_s = began_s
        return None

    async def _end(self, outage: _Outage) -> None:
        _log.info("the shared cache is back")
        try:
            await self._switch.end(self._writer_id, outage.epoch)
        except Unavailable as error:
            _log.warning("readers bypass the shared cache for up to %d s: %s", OFF_S, error)


class _Outage:
    """One outage. `told_s` is when the last `begin` that succeeded was asked, `tried_s` when the cache was."""

    def __init__(self, epoch: UUID, *, tried_s: float) -> None:
        self.epoch = epoch
        self.tried_s = tried_s
        self.told_s: float | None = None
        self.telling: asyncio.Task[FanfoldError | None] | None = None

    def told_before(self, at_s: float) -> bool:
        return self.told_s is not None and self.told_s < at_s
