"""The log during an outage of the broker: nothing acknowledged is lost, nothing refused is sent later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.events import GRAPH
from fanfold.core.ports.log import Record, Tail
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines
from tests.support.logs import a_follow, everything, followers, own_topics, read
from tests.support.own_time import own_s
from tests.support.probes import free_port

pytestmark = pytest.mark.real


@pytest.fixture
async def settings(engines: RealEngines) -> AsyncIterator[Settings]:
    async with own_topics(engines, request_timeout_s=2) as settings:
        yield settings


def opened(settings: Settings) -> KafkaLog:
    return KafkaLog(settings, clock=SystemClock(), source="test")


async def test_an_event_that_was_refused_during_an_outage_is_never_appended_later(
    engines: RealEngines, settings: Settings
) -> None:
    async with opened(settings) as log:
        await log.append(a_follow(by="before"))
        await asyncio.to_thread(engines.kill_kafka)
        try:
            for n in range(3):
                started_s = own_s()
                with pytest.raises(Unavailable):
                    await log.append(a_follow(by=f"refused-{n}"))
                assert own_s() - started_s < settings.request_timeout_s
            with pytest.raises(Unavailable):
                await log.append_many([a_follow(by="refused-too")] * 3)
            with pytest.raises(Unavailable):
                await log.ping()
        finally:
            await asyncio.to_thread(engines.start_kafka)

        await _appended(log, "after")

        assert set(followers(await everything(log, 2))) == {"before", "after"}
        await log.ping()


async def test_a_record_that_waits_for_its_connection_is_dropped_with_its_append(
    engines: RealEngines, settings: Settings
) -> None:
    # The broker returns just when the append has been refused: the moment at which aiokafka would still send it.
    async with opened(settings) as log:
        await log.append(a_follow(by="before"))
        await asyncio.to_thread(engines.kill_kafka)
        starting = asyncio.create_task(asyncio.to_thread(engines.start_kafka))
        refused = []
        for n in range(20):
            try:
                await log.append(a_follow(by=f"u{n}"))
                break
            except Unavailable:
                refused.append(f"u{n}")
        await starting
        await _appended(log, "after")

        kept = followers(await everything(log, 2))

        assert len(kept) == len(set(kept))
        assert not set(refused) & set(kept)


async def test_a_tail_is_behind_while_the_broker_is_away_and_catches_up_after(
    engines: RealEngines, settings: Settings
) -> None:
    async with opened(settings) as log, log.tail([GRAPH], since_ms=0) as tail:
        await log.append(a_follow(by="before"))
        assert followers(await read(tail, 1)) == ["before"]
        async with asyncio.timeout(20):
            while tail.behind_s() > 0.5:
                assert await _read_or_nothing(tail) == []
        await asyncio.to_thread(engines.kill_kafka)
        try:
            async with asyncio.timeout(20):
                while tail.behind_s() < 1.5:
                    assert await _read_or_nothing(tail) == []
        finally:
            await asyncio.to_thread(engines.start_kafka)
        await _appended(log, "after")

        found: list[Record] = []
        async with asyncio.timeout(30):
            while not found or tail.behind_s() > 0.5:
                found += await _read_or_nothing(tail)

        assert set(followers(found)) == {"after"}


async def test_a_log_opens_without_its_broker_and_refuses(settings: Settings) -> None:
    nobody = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{free_port()}"})
    started_s = own_s()
    async with opened(nobody) as log, log.tail([GRAPH], since_ms=0) as tail:
        assert own_s() - started_s < 0.5
        with pytest.raises(Unavailable):
            await log.append(a_follow())
        assert own_s() - started_s < settings.request_timeout_s
        with pytest.raises(Unavailable):
            await tail.read()
        assert tail.behind_s() > 1
        assert log.clock_skew_ms() is None
    assert own_s() - started_s < settings.request_timeout_s + 2


async def _appended(log: KafkaLog, by: str) -> None:
    """Append once the broker takes it: its first seconds may still refuse."""
    for _ in range(20):
        try:
            await log.append(a_follow(by=by))
            return
        except Unavailable:
            continue
    raise AssertionError("Kafka has not come back")


async def _read_or_nothing(tail: Tail) -> list[Record]:
    try:
        return list(await tail.read())
    except Unavailable:
        return []
