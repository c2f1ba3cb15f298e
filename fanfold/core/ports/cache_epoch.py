"""The shared cache's epoch, as one reading process knows it."""

from __future__ import annotations

import logging
from hashlib import blake2b

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.cache_switch import CacheSwitch

_READ_EVERY_S = 0.5
# A writer acknowledges a write once it has told an outage. Readers may trust the cache for this long after it: "at once" is a second.
_TRUSTED_S = 1.0

_log = logging.getLogger(__name__)


class CacheEpoch:
    """Call it for the epoch.

    It is None while the cache must be bypassed: an outage lasts, or the outages were last read more than a second ago. Only processes that read through the cache need it; they run `watch`. `tables` names the tables whose values the cache holds: readers of
    other tables use none of these values.
    """

    def __init__(self, switch: CacheSwitch, *, clock: Clock, tables: str = "") -> None:
        self._switch = switch
        self._tables = tables.encode()
        self._clock = clock
        self._epoch: bytes | None = None
        self._read_at_s = float("-inf")

    def __call__(self) -> bytes | None:
        known = self._clock.monotonic_s() - self._read_at_s <= _TRUSTED_S
        return self._epoch if known else None

    async def read(self) -> None:
        """Read the outages once. Raises `Unavailable`."""
        asked_at_s = self._clock.monotonic_s()
        outages = await self._switch.outages()
        epochs = self._tables + b"".join(outage.epoch.bytes for outage in outages)
        off = any(outage.off for outage in outages)
        # The answer is as old as the question.
        self._read_at_s = asked_at_s
        self._epoch = None if off else blake2b(epochs).digest()

    async def watch(self) -> None:
        """Read the outages twice a second, until cancelled."""
        while True:
            began_s = self._clock.monotonic_s()
            try:
                await self.read()
            except Unavailable as error:
                _log.info("the cache's outages can't be read: %s", error)
            # Counted from the question: in a busy process an answer takes long, and after a further pause the last answer would be too old.
            await self._clock.sleep(max(0.0, began_s + _READ_EVERY_S - self._clock.monotonic_s()))
