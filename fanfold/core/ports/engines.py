"""The log, the stores and the shared cache. A composition root makes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from fanfold.core.ports import Stores
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.log import EventLog
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.core.ports.shared_cache import SharedCache


@dataclass(frozen=True, slots=True)
class Tables:
    """The stores, and the shared cache of what they hold: all that a process needs that appends nothing. See `Engines`."""

    stores: Stores
    cache: SharedCache = field(default_factory=NoSharedCache)
    cache_epoch: CacheEpoch | None = None


@dataclass(frozen=True, slots=True)
class Engines:
    """A log, the stores that project it, and the cache that feed processes share.

    A process that reads through the cache runs `cache_epoch.watch`; until then the cache gives nothing. It is None without a cache.
    """

    log: EventLog
    stores: Stores
    cache: SharedCache = field(default_factory=NoSharedCache)
    cache_epoch: CacheEpoch | None = None

    @property
    def tables(self) -> Tables:
        """Everything but the log."""
        return Tables(self.stores, self.cache, self.cache_epoch)
