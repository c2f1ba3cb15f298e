"""On a real ring, batches and lists of keys go to a node that holds all of their rows, so that nodes send one another nothing for them.

On this ring's three replicas of everything any node would do. So these rows are in a keyspace with one replica each: three sets of replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cassandra.cluster import Session

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.replica_sets import GroupOf, ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ROWS = 3_000
TABLES = (
    "CREATE KEYSPACE grouped WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}",
    "CREATE TABLE grouped.schema_migrations (version int PRIMARY KEY)",
    "CREATE TABLE grouped.words (word text PRIMARY KEY, length bigint)",
)


class Ungrouped(ReplicaSets):
    """As if every node held everything."""

    def group_of(self) -> GroupOf | None:
        return None


def messages(session: Session) -> int:
    """What the nodes have sent one another so far."""
    counts = 0
    for host in session.cluster.metadata.all_hosts():
        asked = session.execute("SELECT sent_count FROM system_views.internode_outbound", host=host)
        counts += sum(row[0] for row in asked)
    return counts


@asynccontextmanager
async def keyspace(cluster: LocalSystem) -> AsyncIterator[tuple[Settings, Session]]:
    settings = read_settings(**cluster.plan.system().settings | {"cassandra_keyspace": "grouped"})
    session = await asyncio.to_thread(connect, settings, keyspace=None)
    try:
        for statement in TABLES:
            await asyncio.to_thread(session.execute, statement, timeout=30)
        yield settings, session
    finally:
        await asyncio.to_thread(session.execute, "DROP KEYSPACE IF EXISTS grouped", timeout=30)
        await asyncio.to_thread(session.cluster.shutdown)


async def written_and_read(
    settings: Settings, counting: Session, sets: type[ReplicaSets]
) -> tuple[int, int]:
    """The messages between nodes for the writes, and for the reads."""
    session = CassandraSession(settings)
    insert = session.statement("INSERT INTO words (word, length) VALUES (?, ?)")
    select = session.statement("SELECT word, length FROM words WHERE word IN ?")
    replica_sets = sets(session, settings)
    words = [f"word {number}" for number in range(ROWS)]
    async with session:
        writer = BatchWriter(session, settings, replica_sets, in_flight=8)
        reader: MultiGet[str] = MultiGet(
            session, select, replica_sets=replica_sets, routing_key=str.encode
        )
        packing = session.packing(insert)
        first = await asyncio.to_thread(messages, counting)
        await writer.write(packing.row(word, len(word)) for word in words)
        second = await asyncio.to_thread(messages, counting)
        found = await reader.rows(words)
        third = await asyncio.to_thread(messages, counting)
    assert sorted(found) == sorted((word, len(word)) for word in words)
    return second - first, third - second


async def test_rows_of_one_replica_set_travel_together_and_nodes_pass_nothing_on(
    cluster: LocalSystem,
) -> None:
    async with keyspace(cluster) as (settings, counting):
        grouped = await written_and_read(settings, counting, ReplicaSets)
        ungrouped = await written_and_read(settings, counting, Ungrouped)
    print(f"messages between nodes, for writes and for reads: {grouped} instead of {ungrouped}")
    # Two thirds of the rows are elsewhere than on the node that is asked. What remains is gossip.
    for with_sets, without in zip(grouped, ungrouped, strict=True):
        assert without > ROWS / 3
        assert with_sets < without / 10
