"""Each process behind the gateway is restarted, one after the other, under load."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from tests.support.cluster_verdict import nothing_goes_wrong, whole
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


async def test_a_rolling_restart_of_everything_behind_the_gateway_fails_no_request(
    cluster: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    names = [name for name in cluster.plan.names if name not in ("gateway", "activity-sweep")]
    async with nothing_goes_wrong(cluster, gateway, "rolling restart") as load:
        for name in names:
            before, began_s = load.asked.reasons.copy(), time.monotonic()
            await asyncio.to_thread(cluster.stop, name)
            cluster.start(name)
            await whole(cluster)
            failed = dict(load.asked.reasons - before)
            print(f"{name} is restarted after {time.monotonic() - began_s:.1f} s; {failed}")
    assert load.asked.refused == {}
