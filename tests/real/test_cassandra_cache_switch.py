"""An outage of the shared cache in Cassandra: what expires, and when."""

from __future__ import annotations

from uuid import uuid4

import pytest

from fanfold.adapters.cassandra.migrate import operator_session
from fanfold.core.ports.cache_switch import EPOCH_KEPT_S, OFF_S
from tests.support.clock import ManualClock
from tests.support.engines import RealEngines
from tests.support.stores import fresh, migrated, stores_in_cassandra


@pytest.mark.real
async def test_an_outage_ends_by_itself_and_its_epoch_is_kept(engines: RealEngines) -> None:
    settings = await migrated(engines)
    writer, epoch = fresh("worker"), uuid4()
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        await stores.cache_switch.begin(writer, epoch)
        await stores.cache_switch.end(writer, epoch)
    async with operator_session(settings, keyspace=settings.cassandra_keyspace) as cql:
        [(off_s, epoch_s, ended_s)] = await cql.run(
            "SELECT TTL(off), TTL(epoch), TTL(ended) FROM cache_outages"
            " WHERE shard = 0 AND writer_id = %s",
            writer,
        )
    assert OFF_S - 30 < off_s <= OFF_S
    assert EPOCH_KEPT_S - 30 < epoch_s <= EPOCH_KEPT_S
    assert EPOCH_KEPT_S - 30 < ended_s <= EPOCH_KEPT_S
