"""Opens the shared cache of the settings: one server, one that sentinels name, or a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fanfold.adapters.redis.address import CacheUrl
from fanfold.adapters.redis.cluster import Cluster
from fanfold.adapters.redis.cluster_cache import ClusterSharedCache
from fanfold.adapters.redis.connection import Connection
from fanfold.adapters.redis.master import Master, OneServer
from fanfold.adapters.redis.sentinels import Sentinels
from fanfold.adapters.redis.shared_cache import RedisSharedCache
from fanfold.core.clock import Clock
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings

SETTLES_S = 5.0
"""See `Master`."""


@asynccontextmanager
async def redis_shared_cache(
    settings: Settings,
    *,
    clock: Clock,
    epoch: Callable[[], bytes | None],
    settles_s: float = SETTLES_S,
) -> AsyncIterator[SharedCache]:
    """The cache of the settings. Opening waits for nothing; raises `Fault` if a certificate can't be used."""
    url = CacheUrl.of(settings)
    if url.kind == "cluster":
        async with Cluster(settings, clock=clock, epoch=epoch, settles_s=settles_s) as cluster:
            clustered = ClusterSharedCache(cluster)
            cluster.ticked = clustered.off_for
            yield clustered
        return
    master: Master = OneServer(url.addresses[0])
    if url.kind == "sentinel":
        master = Sentinels(settings, url, settles_s=settles_s)
    async with Connection(settings, master, clock=clock) as connection:
        cache = RedisSharedCache(settings, connection, clock=clock, epoch=epoch)
        connection.ticked = cache.off_for
        yield cache
