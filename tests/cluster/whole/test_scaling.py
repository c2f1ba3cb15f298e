"""The autoscaler of production, on a real metrics-server: processes come and go with the load."""

from __future__ import annotations

import asyncio
import copy

import httpx2
import pytest

from tests.support.k8s import Object, named, rendered
from tests.support.k8s_cluster import NAMESPACE, SCRIPT
from tests.support.whole_on_a_cluster import Installed, run

pytestmark = pytest.mark.timeout(900)

FEWEST, MOST = 2, 4


def autoscaler() -> Object:
    """Production's, for the overlay of these tests: fewer processes, and no five minutes before one is taken away."""
    changed = copy.deepcopy(named(rendered("prod"), "HorizontalPodAutoscaler", "feed-service"))
    changed["spec"] |= {"minReplicas": FEWEST, "maxReplicas": MOST}
    down = changed["spec"]["behavior"]["scaleDown"]
    down["stabilizationWindowSeconds"] = 15
    down["policies"] = [{"type": "Pods", "value": 1, "periodSeconds": 15}]
    return changed


async def test_load_adds_processes_and_its_end_takes_them_away_and_no_request_fails(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    run(SCRIPT, "install", "metrics-server")
    fanfold.cluster.apply([autoscaler()])
    seen = set()

    def grown(count: int) -> bool:
        seen.add(count)
        return count == MOST

    def shrunk(count: int) -> bool:
        return count == FEWEST

    try:
        async with fanfold.load(gateway, "peak", per_s=30) as load:
            await fanfold.until_replicas("feed-service", grown)
            await fanfold.until_replicas("feed-service", grown, ready=True)
            # What new processes serve while the others go on.
            await asyncio.sleep(20)
            load.per_s = 2
            await fanfold.until_replicas("feed-service", shrunk)
            await fanfold.until_replicas("feed-service", shrunk, ready=True)
        assert load.asked.refused == {}
    finally:
        fanfold.cluster.kubectl(
            "--namespace", NAMESPACE, "delete", "horizontalpodautoscaler", "feed-service"
        )
