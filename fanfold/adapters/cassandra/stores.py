"""The stores over one session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fanfold.adapters.cassandra.activity import CassandraActivity
from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.cache_switch import CassandraCacheSwitch
from fanfold.adapters.cassandra.follows import CassandraFollows
from fanfold.adapters.cassandra.idempotency_keys import CassandraIdempotencyKeys
from fanfold.adapters.cassandra.jobs import CassandraJobs
from fanfold.adapters.cassandra.likes import CassandraLikes
from fanfold.adapters.cassandra.posts import CassandraPosts
from fanfold.adapters.cassandra.pulled_authors import CassandraPulledAuthors
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.revocations import CassandraRevocations
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.sweeps import CassandraSweeps
from fanfold.adapters.cassandra.tickets import CassandraTickets
from fanfold.adapters.cassandra.ties import CassandraTies
from fanfold.adapters.cassandra.timelines import CassandraTimelines
from fanfold.adapters.cassandra.users import CassandraUsers
from fanfold.core.clock import Clock
from fanfold.core.ports import Stores
from fanfold.core.settings import Settings


class _Shared(TypedDict):
    batches: BatchWriter
    replica_sets: ReplicaSets


@asynccontextmanager
async def cassandra_stores(settings: Settings, *, clock: Clock) -> AsyncIterator[Stores]:
    """Stores that connect at once or, if Cassandra doesn't answer or lacks the schema, as soon as possible.

    Until then every call raises `Unavailable`. Call them on the event loop that entered.
    """
    session = CassandraSession(settings)
    replica_sets = ReplicaSets(session, settings)
    batches = BatchWriter(session, settings, replica_sets, in_flight=settings.writes_in_flight)
    shared: _Shared = {"batches": batches, "replica_sets": replica_sets}
    stores = Stores(
        posts=CassandraPosts(session, clock=clock, **shared),
        idempotency_keys=CassandraIdempotencyKeys(session),
        users=CassandraUsers(session, **shared),
        follows=CassandraFollows(session, **shared),
        ties=CassandraTies(session, **shared),
        timelines=CassandraTimelines(
            session,
            large_pushes=BatchWriter(
                session, settings, replica_sets, in_flight=settings.large_writes_in_flight
            ),
            settings=settings,
            clock=clock,
            **shared,
        ),
        pulled_authors=CassandraPulledAuthors(session, clock=clock),
        jobs=CassandraJobs(session, keep_ms=settings.keep_ms, clock=clock, **shared),
        likes=CassandraLikes(session, **shared),
        activity=CassandraActivity(session, batches=batches),
        cache_switch=CassandraCacheSwitch(session, clock=clock),
        revocations=CassandraRevocations(session),
        sweeps=CassandraSweeps(session),
        tickets=CassandraTickets(session),
        ping=session.ping,
    )
    async with session:
        yield stores
