from __future__ import annotations

import asyncio

import pytest

from fanfold.adapters.cassandra.migrate import migrate
from fanfold.core.errors import Unavailable
from fanfold.core.ports import Pointer, Stores
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.engines import RealEngines, schema_on_disk, settings_for
from tests.support.eventually import eventually
from tests.support.own_time import own_s
from tests.support.stores import (
    a_post_id,
    an_edge,
    answers,
    fresh,
    migrated,
    stores_in_cassandra,
    write_edges,
)

pytestmark = pytest.mark.real
TIMEOUT_S = 2.0


@pytest.fixture
async def settings(engines: RealEngines) -> Settings:
    migrated_once = await migrated(engines)
    await schema_on_disk(migrated_once)
    return migrated_once.model_copy(update={"cassandra_timeout_s": TIMEOUT_S})


async def test_a_killed_cassandra_is_unavailable_in_time_and_serves_again_when_it_is_back(
    engines: RealEngines, settings: Settings
) -> None:
    bob, pointer = fresh("bob"), Pointer(a_post_id(), "author")
    readers = [fresh("reader") for _ in range(1000)]
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        await write_edges(stores, bob, [an_edge("alice", offset=1)])
        await asyncio.to_thread(engines.kill_cassandra)
        try:
            for call in (
                lambda: stores.timelines.push([pointer], readers),
                lambda: stores.users.get_many([bob]),
                lambda: stores.posts.get([a_post_id() for _ in range(300)]),
                stores.ping,
            ):
                began = own_s()
                with pytest.raises(Unavailable):
                    await call()
                assert own_s() - began < 2 * TIMEOUT_S
        finally:
            await asyncio.to_thread(engines.start_cassandra)
        await eventually(lambda: answers(stores), within_s=30, what="the same process is served")
        assert await stores.timelines.push([pointer], readers) == 1000
        assert list(await stores.follows.following("alice")) == [bob]


async def test_writes_under_way_when_cassandra_dies_fail_and_are_repeated(
    engines: RealEngines, settings: Settings
) -> None:
    readers = [fresh("reader") for _ in range(40_000)]
    pointer = Pointer(a_post_id(), "author")
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        pushing = asyncio.create_task(stores.timelines.push([pointer], readers))
        await eventually(
            lambda: has_a_timeline(stores, readers[0]), within_s=30, what="the push has begun"
        )
        await asyncio.to_thread(engines.kill_cassandra)
        try:
            with pytest.raises(Unavailable):
                await pushing
        finally:
            await asyncio.to_thread(engines.start_cassandra)

        async def all_written() -> bool:
            try:
                return await stores.timelines.push([pointer], readers) == len(readers)
            except Unavailable:
                return False

        await eventually(all_written, within_s=60, what="the push, repeated, is through")
        for reader in readers[::4000]:
            assert await has_a_timeline(stores, reader)


async def has_a_timeline(stores: Stores, reader: str) -> bool:
    return bool(await stores.timelines.timeline(reader, before=None, since_ms=0, limit=2))


async def test_a_service_starts_without_cassandra_and_connects_when_it_comes(
    engines: RealEngines, settings: Settings
) -> None:
    await asyncio.to_thread(engines.kill_cassandra)
    try:
        began = own_s()
        async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
            assert own_s() - began < 2 * TIMEOUT_S
            with pytest.raises(Unavailable, match="Cassandra"):
                await stores.ping()
            with pytest.raises(Unavailable):
                await stores.timelines.push([Pointer(a_post_id(), "author")], ["alice"])
            await asyncio.to_thread(engines.start_cassandra)
            await eventually(lambda: answers(stores), within_s=30, what="connected")
            await stores.users.register(fresh("bob"), "Bob", registered_at_ms=START_MS, offset=1)
    finally:
        if engines.cassandra.is_gone():
            await asyncio.to_thread(engines.start_cassandra)


async def test_a_service_starts_before_the_schema_and_serves_when_it_is_migrated(
    engines: RealEngines,
) -> None:
    settings = settings_for(engines)
    async with stores_in_cassandra(settings, clock=ManualClock()) as stores:
        with pytest.raises(Unavailable, match=settings.cassandra_keyspace):
            await stores.ping()
        await migrate(settings)
        await eventually(lambda: answers(stores), within_s=30, what="the schema is found")


async def test_a_service_that_never_reached_cassandra_stops_at_once(engines: RealEngines) -> None:
    nowhere = settings_for(engines, cassandra_port=1)
    began = own_s()
    async with stores_in_cassandra(nowhere, clock=ManualClock()):
        pass
    assert own_s() - began < 2 * nowhere.cassandra_timeout_s
