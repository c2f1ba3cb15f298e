"""The two stacks, each a context manager; only composition roots call them.

The drivers are imported on demand, so that `make run` on a laptop never loads those of Kafka and Cassandra.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fanfold.core.clock import Clock
from fanfold.core.errors import Fault
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines, Tables
from fanfold.core.settings import Settings

if TYPE_CHECKING:
    from fanfold.adapters.sqlite.log import SqliteLog


@dataclass(frozen=True, slots=True)
class EmbeddedEngines(Engines):
    """Engines whose log can also be replayed in this process."""

    log: SqliteLog


@asynccontextmanager
async def real(settings: Settings, *, clock: Clock, source: str) -> AsyncIterator[Engines]:
    """Kafka, Cassandra, and the cache of the settings. `source` is the CloudEvents `source` of what this process appends.

    Opening waits for none of them. Raises `Fault` if a certificate or key can't be used.
    """
    from fanfold.adapters.kafka.log import KafkaLog
    from fanfold.adapters.kafka.security import client_security

    client_security(settings)
    async with (
        KafkaLog(settings, clock=clock, source=source) as log,
        real_tables(settings, clock=clock) as tables,
    ):
        yield Engines(log, tables.stores, tables.cache, tables.cache_epoch)


@asynccontextmanager
async def real_tables(settings: Settings, *, clock: Clock) -> AsyncIterator[Tables]:
    """Cassandra, and the cache of the settings. Opening waits for neither of them. Raises `Fault` if a certificate or key can't be used."""
    if settings.cache == "memory":
        raise Fault("FANFOLD_CACHE: memory is only for `make run`; use redis://host:port or none")
    from fanfold.adapters.cassandra.connect import client_tls
    from fanfold.adapters.cassandra.stores import cassandra_stores
    from fanfold.adapters.redis.opened import redis_shared_cache

    # A wrong path is a mistake in the configuration: it must fail now, while an outage would be waited for.
    client_tls(settings)
    async with cassandra_stores(settings, clock=clock) as stores:
        if settings.cache == "none":
            yield Tables(stores)
            return
        # An author's newest posts are read and kept as far back as the retention window of the reading process.
        kept = f"{settings.cassandra_keyspace} {settings.retention_days}"
        epoch = CacheEpoch(stores.cache_switch, clock=clock, tables=kept)
        async with redis_shared_cache(settings, clock=clock, epoch=epoch) as cache:
            yield Tables(stores, cache, epoch)


@asynccontextmanager
async def embedded(
    settings: Settings, *, clock: Clock, path: Path
) -> AsyncIterator[EmbeddedEngines]:
    """The log in a SQLite file, the tables in memory: empty until a consumer has replayed the log."""
    from fanfold.adapters.memory import memory_stores
    from fanfold.adapters.memory.shared_cache import MemorySharedCache
    from fanfold.adapters.sqlite.log import SqliteLog

    async with SqliteLog(path, clock=clock, source="fanfold/all-in-one") as log:
        stores = memory_stores(settings, clock=clock)
        if settings.cache != "memory":
            yield EmbeddedEngines(log, stores)
            return
        epoch = CacheEpoch(stores.cache_switch, clock=clock)
        cache = MemorySharedCache(settings, clock=clock, epoch=epoch)
        yield EmbeddedEngines(log, stores, cache, epoch)
