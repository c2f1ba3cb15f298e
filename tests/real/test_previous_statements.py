"""The version before this one goes on working on the tables of this one: while both run, and after a roll back."""

from __future__ import annotations

import asyncio

import pytest

from fanfold.adapters.cassandra.connect import connect
from tests.support.engines import RealEngines
from tests.support.previous import previous
from tests.support.stores import migrated

pytestmark = pytest.mark.real


async def test_every_statement_of_the_previous_version_is_prepared_on_the_tables_of_now(
    engines: RealEngines,
) -> None:
    settings = await migrated(engines)
    statements: list[str] = previous("statements")
    assert len(statements) > 20

    session = await asyncio.to_thread(connect, settings, keyspace=settings.cassandra_keyspace)
    try:
        # Cassandra refuses one that names a table, column or type that is not there.
        for statement in statements:
            await asyncio.to_thread(session.prepare, statement)
    finally:
        await asyncio.to_thread(session.cluster.shutdown)
