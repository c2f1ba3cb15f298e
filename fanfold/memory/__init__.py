"""The stores in memory: for `make run` and fast tests. Empty until a consumer has replayed the log.

They keep Cassandra's rules (last write wins by timestamp, rows expire), so that what is right here is right there.
"""

from __future__ import annotations

from uuid import UUID

from fanfold.clock import Clock
from fanfold.memory.activity import MemoryActivity
from fanfold.memory.cells import Table
from fanfold.memory.graph import MemoryGraph
from fanfold.memory.jobs import MemoryJobs
from fanfold.memory.likes import MemoryLikes
from fanfold.memory.posts import MemoryPosts
from fanfold.memory.timelines import MemoryTimelines
from fanfold.settings import Settings
from fanfold.stores import Stores

__all__ = ["memory_stores"]


def memory_stores(settings: Settings, *, clock: Clock) -> Stores:
    """Empty stores. `clock` decides what has expired when something is read."""
    posts: Table[UUID] = Table()
    return Stores(
        posts=MemoryPosts(posts, clock=clock),
        graph=MemoryGraph(),
        timelines=MemoryTimelines(retention_ms=settings.retention_ms, clock=clock),
        jobs=MemoryJobs(),
        likes=MemoryLikes(posts),
        activity=MemoryActivity(),
    )
