"""The stores in memory: for `make run` and fast tests. Empty until a consumer has replayed the log.

They keep Cassandra's rules (last write wins by timestamp, rows expire), so that what is right here is right there.
"""

from __future__ import annotations

from uuid import UUID

from fanfold.adapters.memory.activity import MemoryActivity
from fanfold.adapters.memory.cache_switch import MemoryCacheSwitch
from fanfold.adapters.memory.cells import Table
from fanfold.adapters.memory.follows import MemoryFollows
from fanfold.adapters.memory.idempotency_keys import MemoryIdempotencyKeys
from fanfold.adapters.memory.jobs import MemoryJobs
from fanfold.adapters.memory.likes import MemoryLikes
from fanfold.adapters.memory.posts import MemoryPosts
from fanfold.adapters.memory.pulled_authors import MemoryPulledAuthors
from fanfold.adapters.memory.revocations import MemoryRevocations
from fanfold.adapters.memory.sweeps import MemorySweeps
from fanfold.adapters.memory.tickets import MemoryTickets
from fanfold.adapters.memory.ties import MemoryTies
from fanfold.adapters.memory.timelines import MemoryTimelines
from fanfold.adapters.memory.users import MemoryUsers
from fanfold.core.clock import Clock
from fanfold.core.ports import Stores
from fanfold.core.settings import Settings

__all__ = ["memory_stores"]


def memory_stores(settings: Settings, *, clock: Clock) -> Stores:
    """Empty stores. `clock` decides what has expired when something is read."""
    posts: Table[UUID] = Table()
    return Stores(
        posts=MemoryPosts(posts),
        idempotency_keys=MemoryIdempotencyKeys(clock=clock),
        users=MemoryUsers(),
        follows=MemoryFollows(),
        ties=MemoryTies(),
        timelines=MemoryTimelines(retention_ms=settings.retention_ms, clock=clock),
        pulled_authors=MemoryPulledAuthors(clock=clock),
        jobs=MemoryJobs(keep_ms=settings.keep_ms, clock=clock),
        likes=MemoryLikes(posts),
        activity=MemoryActivity(),
        cache_switch=MemoryCacheSwitch(clock=clock),
        revocations=MemoryRevocations(clock=clock),
        sweeps=MemorySweeps(),
        tickets=MemoryTickets(clock=clock),
        ping=_ping,
    )


async def _ping() -> None:
    """Memory always answers."""
