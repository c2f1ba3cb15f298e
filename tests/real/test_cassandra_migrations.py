from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fanfold.adapters.cassandra.migrate import (
    load_migrations,
    migrate,
    record_partitions,
    recorded_partitions,
)
from fanfold.core.errors import Fault, Unavailable
from tests.support.clock import ManualClock
from tests.support.engines import RealEngines, settings_for
from tests.support.stores import migrated, stores_in_cassandra

pytestmark = pytest.mark.real


async def test_two_operators_at_once_apply_each_migration_once_and_a_third_has_nothing_to_do(
    engines: RealEngines,
) -> None:
    settings = settings_for(engines)
    done = await asyncio.gather(migrate(settings), migrate(settings))
    applied = [line for lines in done for line in lines if line.startswith("applied")]
    assert sorted(applied) == [f"applied {migration.name}" for migration in load_migrations()]
    assert await migrate(settings) == [f"keyspace {settings.cassandra_keyspace} is up to date"]
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        await stores.ping()


async def test_a_migration_changed_after_it_was_applied_is_refused(engines: RealEngines) -> None:
    settings = await migrated(engines)
    first, *others = load_migrations()
    changed = replace(
        first, statements=(*first.statements, "CREATE TABLE IF NOT EXISTS t (k int PRIMARY KEY)")
    )
    with pytest.raises(Fault, match=r"0001_posts\.cql was changed"):
        await migrate(settings, [changed, *others])


async def test_only_what_is_missing_is_applied(engines: RealEngines) -> None:
    settings = settings_for(engines)
    first, second, *_ = load_migrations()
    assert await migrate(settings, [first]) == [f"applied {first.name}"]
    assert await migrate(settings, [first, second]) == [f"applied {second.name}"]


async def test_a_partition_count_is_recorded_for_life(engines: RealEngines) -> None:
    settings = settings_for(engines)
    await migrate(settings, load_migrations())
    assert await recorded_partitions(settings) == {}
    counts = {"t.posts.v1": 12, "t.graph.v1": 6}
    for _ in range(2):
        await record_partitions(settings, counts)
    with pytest.raises(Fault, match=r"t\.graph\.v1 has 7 partitions, but was created with 6"):
        await record_partitions(settings, {"t.posts.v1": 12, "t.graph.v1": 7})
    assert await recorded_partitions(settings) == counts


async def test_a_keyspace_that_is_no_name_is_refused(engines: RealEngines) -> None:
    with pytest.raises(Fault, match="keyspace"):
        await migrate(settings_for(engines, cassandra_keyspace="x; DROP KEYSPACE system"))


async def test_without_cassandra_an_operator_gets_an_error_that_says_so(
    engines: RealEngines,
) -> None:
    with pytest.raises(Unavailable, match="Cassandra"):
        await migrate(settings_for(engines, cassandra_port=1))


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0002_second.cql").write_text("CREATE TABLE t (k int PRIMARY KEY);")
    with pytest.raises(Fault, match="numbered"):
        load_migrations(tmp_path)


def test_the_checksum_is_of_what_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "0001_first.cql"
    path.write_text("-- why;\nCREATE TABLE t (\n  k int PRIMARY KEY -- the key\n);\n")
    [one] = load_migrations(tmp_path)
    path.write_text("CREATE TABLE t ( k int PRIMARY KEY );")
    [other] = load_migrations(tmp_path)
    assert one.statements == ("CREATE TABLE t ( k int PRIMARY KEY )",)
    assert one.checksum == other.checksum
