"""Stores that tell the shared cache what they have written: for the fan-out worker, the only process that tells it.

Each method that writes first writes the tables. When they have answered, it forgets the keys whose cached value may be
older now, and pushes delivered pointers to the lists of feeds. Only then it returns. Reads pass through, uncached.

So a worker that dies in between needs nothing but what it has anyway: the record isn't acknowledged, the log delivers it again, and the next worker
writes and tells again. For that a projection must repeat a write that it finds in the tables, as long as it can't know that the write has
also returned: the row alone doesn't show that the cache was told.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from uuid import uuid4

from fanfold.adapters.telling_stores.graph import TellingFollows, TellingTies, TellingUsers
from fanfold.adapters.telling_stores.posts import TellingLikes, TellingPosts, TellingTimelines
from fanfold.adapters.telling_stores.without_cache import keep_outage
from fanfold.adapters.telling_stores.writer import CacheWriter
from fanfold.core.clock import Clock
from fanfold.core.ports import Stores
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.shared_cache import SharedCache

__all__ = ["keep_outage", "stores_of_worker", "telling"]


def stores_of_worker(engines: Engines, *, name: str | None, clock: Clock) -> Stores:
    """The stores for a worker: without a shared cache, those of the engines (see `keep_outage`); else they tell the cache.

    The worker's name is only for people. Each process is a writer of its own, because two processes that run at the same time must not end
    each other's outages.
    """
    if engines.cache_epoch is None:
        return engines.stores
    writer_id = f"{name or socket.gethostname()}/{uuid4().hex[:12]}"
    return telling(engines.stores, engines.cache, writer_id=writer_id, clock=clock)


def telling(stores: Stores, cache: SharedCache, *, writer_id: str, clock: Clock) -> Stores:
    """The stores, telling the cache. `writer_id` must be this process's own: see `CacheSwitch`.

    Writes raise `Unavailable` also if neither the cache nor the tables could be told; they are repeated as any others.
    """
    writer = CacheWriter(cache, stores.cache_switch, writer_id=writer_id, clock=clock)
    return replace(
        stores,
        posts=TellingPosts(stores.posts, writer),
        users=TellingUsers(stores.users, writer),
        follows=TellingFollows(stores.follows, writer),
        ties=TellingTies(stores.ties, writer),
        timelines=TellingTimelines(stores.timelines, writer),
        likes=TellingLikes(stores.likes, writer),
    )
