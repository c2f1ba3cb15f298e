"""While two of three brokers or nodes are away, requests say so; when they are back, everything recovers by itself."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.support.cluster_verdict import nothing_goes_wrong, ready
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

AWAY_S = 15


@pytest.mark.parametrize("kind", ["kafka", "cassandra"])
async def test_without_a_quorum_requests_say_so_and_with_it_everything_recovers_by_itself(
    cluster: LocalSystem, gateway: httpx2.AsyncClient, kind: str
) -> None:
    names = [f"{kind}-2", f"{kind}-3"]
    async with nothing_goes_wrong(cluster, gateway, f"no quorum of {kind}") as load:
        await asyncio.to_thread(cluster.stop, *names)
        before, acknowledged = load.asked.refused, len(load.acknowledged)
        await asyncio.sleep(AWAY_S)
        assert load.asked.refused["503"] > before["503"]
        if kind == "kafka":
            assert len(load.acknowledged) == acknowledged, "without a quorum of brokers nothing is"
        cluster.start(*names)
        await ready(cluster, names)
