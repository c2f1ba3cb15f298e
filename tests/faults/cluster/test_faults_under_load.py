"""What kill -9 and SIGSTOP of each process of a cluster do under load: posts, deletions, likes, follows, reads and live feeds.

Each test ends with the exact numbers of lost, duplicate and ghost posts, of writes and counts that are wrong, and of requests that failed without saying
so. All of them are 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

import httpx2
import pytest

from tests.support.cluster_verdict import nothing_goes_wrong
from tests.support.eventually import eventually
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

FROZEN_S = 30
_RECOVERS_S = 3
"""Between two faults, so that the load also meets the system after each."""

Victims = Sequence[str]

KILLED: dict[str, Sequence[Victims]] = {
    # The first one leads a third of the partitions; when it is back it leads none, and is killed again.
    "brokers": [("kafka-1",), ("kafka-1",), ("the controller",)],
    "tables and cache": [("cassandra-2",), ("cache",), ("cache-replica",)],
    "services": [
        ("post-1",),
        ("graph-1",),
        ("feed-1",),
        ("console-1",),
        ("fanout-1",),
        ("gateway",),
    ],
    "two and more at once": [("kafka-2", "cassandra-3"), ("post-2", "feed-2", "fanout-2", "cache")],
}
FROZEN: dict[str, Sequence[Victims]] = {
    # One of them is the controller.
    "each broker": [("kafka-1",), ("kafka-2",), ("kafka-3",)],
    "a node and the caches": [("cassandra-1",), ("cache",), ("cache-replica",)],
    "a copy of each service and a worker": [
        ("post-1", "graph-2", "feed-1", "console-1", "fanout-2")
    ],
    "the gateway": [("gateway",)],
    "a broker and a node": [("kafka-3", "cassandra-2")],
}


async def under_load(
    cluster: LocalSystem,
    gateway: httpx2.AsyncClient,
    name: str,
    faults: Sequence[Victims],
    inflict: Callable[[LocalSystem, Sequence[str]], Awaitable[None]],
) -> None:
    failed = any("gateway" in victims for victims in faults)
    async with nothing_goes_wrong(cluster, gateway, name, gateway_failed=failed):
        for victims in faults:
            began_s = time.monotonic()
            names = [cluster.controller() if v == "the controller" else v for v in victims]
            await inflict(cluster, names)
            print(f"{name}: {' and '.join(names)}: over after {time.monotonic() - began_s:.1f} s")
            await asyncio.sleep(_RECOVERS_S)


async def killed(cluster: LocalSystem, names: Sequence[str]) -> None:
    """Return when they are back and ready."""
    pids = {name: cluster.kill(name) for name in names}

    async def back() -> bool:
        looks = (
            asyncio.to_thread(cluster.is_back, name, instead_of=pid) for name, pid in pids.items()
        )
        return all(await asyncio.gather(*looks))

    await eventually(back, within_s=180, every_s=0.5, what=f"{names} are back")


async def frozen(cluster: LocalSystem, names: Sequence[str]) -> None:
    pids = [cluster.freeze(name) for name in names]
    try:
        await asyncio.sleep(FROZEN_S)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("victims", KILLED)
async def test_nothing_is_lost_and_no_failure_is_silent_when_processes_are_killed(
    cluster: LocalSystem, gateway: httpx2.AsyncClient, victims: str
) -> None:
    await under_load(cluster, gateway, f"killed {victims}", KILLED[victims], killed)


@pytest.mark.parametrize("victims", FROZEN)
async def test_nothing_is_lost_and_no_failure_is_silent_when_processes_freeze(
    cluster: LocalSystem, gateway: httpx2.AsyncClient, victims: str
) -> None:
    await under_load(cluster, gateway, f"frozen {victims}", FROZEN[victims], frozen)
