"""A Cassandra node whose clock is ten minutes off, either way, under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

import httpx2
import pytest
from cassandra import DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy

from fanfold.adapters.cassandra.packed import PROTOCOL_VERSION
from tests.support.cluster_verdict import nothing_goes_wrong, ready, whole
from tests.support.eventually import eventually
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

OFF_S = 600
WRONG_S = 30
"""How long the load meets the wrong clock."""

# `scripts/install_faketime`. The library for programs with threads.
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def ahead_s(cluster: LocalSystem, name: str) -> float:
    """By how much this node's clock is ahead of ours, as it says itself."""
    host = cluster.plan.host(name)
    alone = ExecutionProfile(WhiteListRoundRobinPolicy([host]), request_timeout=10)
    with Cluster(
        [host],
        port=cluster.plan.port(name),
        protocol_version=PROTOCOL_VERSION,
        execution_profiles={EXEC_PROFILE_DEFAULT: alone},
        connect_timeout=10,
    ) as asked:
        statement = "SELECT toTimestamp(now()) FROM system.local"
        now = asked.connect().execute(statement).one()[0].replace(tzinfo=UTC)
    return float(now.timestamp() - time.time())


async def clock_is_off(cluster: LocalSystem, name: str, by_s: int) -> None:
    async def is_off() -> bool:
        try:
            return abs(await asyncio.to_thread(ahead_s, cluster, name) - by_s) < OFF_S / 4
        except (DriverException, NoHostAvailable, OSError):
            return False

    await eventually(is_off, within_s=60, every_s=1, what=f"the clock of {name} is {by_s} s ahead")


@asynccontextmanager
async def a_clock_that_is_off(cluster: LocalSystem, name: str, by_s: int) -> AsyncIterator[None]:
    """The node is started again with such a clock, and in the end with the right one."""
    await asyncio.to_thread(cluster.stop, name)
    # The time since its start stays right: it is what waits are counted in.
    right = cluster.change(
        name, LD_PRELOAD=str(LIBRARY), FAKETIME=f"{by_s:+d}", FAKETIME_DONT_FAKE_MONOTONIC="1"
    )
    try:
        cluster.start(name)
        # Not until everything is whole: the other nodes drop what it says.
        await ready(cluster, [name])
        await clock_is_off(cluster, name, by_s)
        print(f"{name} runs with a clock that is {by_s:+d} s off")
        yield
        await clock_is_off(cluster, name, by_s)
    finally:
        await asyncio.to_thread(cluster.stop, name)
        cluster.configure(name, right)
        cluster.start(name)


@pytest.mark.skipif(LIBRARY is None, reason="scripts/install_faketime installs libfaketime")
async def test_nothing_is_lost_when_the_clock_of_a_node_is_ten_minutes_off(
    cluster: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    wrong = cluster.plan.cassandras[1]
    async with nothing_goes_wrong(cluster, gateway, "a wrong clock") as load:
        for by_s in (OFF_S, -OFF_S):
            before, began_s = load.asked.reasons.copy(), time.monotonic()
            async with a_clock_that_is_off(cluster, wrong, by_s):
                await asyncio.sleep(WRONG_S)
            await whole(cluster)
            took_s = time.monotonic() - began_s
            print(f"{wrong}, {by_s:+d} s: over after {took_s:.0f} s; {load.asked.reasons - before}")
    await clock_is_off(cluster, wrong, 0)
