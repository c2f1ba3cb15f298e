"""The stores over one session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fanfold.cassandra.activity import CassandraActivity
from fanfold.cassandra.batches import BatchWriter
from fanfold.cassandra.graph import CassandraGraph
from fanfold.cassandra.jobs import CassandraJobs
from fanfold.cassandra.likes import CassandraLikes
from fanfold.cassandra.posts import CassandraPosts
from fanfold.cassandra.session import CassandraSession
from fanfold.cassandra.timelines import CassandraTimelines
from fanfold.clock import Clock
from fanfold.settings import Settings
from fanfold.stores import Stores


@asynccontextmanager
async def cassandra_stores(settings: Settings, *, clock: Clock) -> AsyncIterator[Stores]:
    """Stores that connect now or, when Cassandra or its schema isn't there, as soon as it is.

    Until then every call raises `Unavailable`. Call them on the event loop that enters.
    """
    session = CassandraSession(settings)
    batches = BatchWriter(session, settings)
    stores = Stores(
        posts=CassandraPosts(session, clock=clock),
        graph=CassandraGraph(session, batches=batches),
        timelines=CassandraTimelines(session, batches=batches, settings=settings, clock=clock),
        jobs=CassandraJobs(session),
        likes=CassandraLikes(session, batches=batches),
        activity=CassandraActivity(session),
    )
    async with session:
        yield stores
