"""Processes, proxies and nodes that go and come back under requests."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.support.k8s import SERVICES
from tests.support.k8s_cluster import NAMESPACE, Cluster, rolled_out, workload_of
from tests.support.k8s_gateway import restart_the_proxies
from tests.support.whole_on_a_cluster import Installed

pytestmark = pytest.mark.timeout(900)


async def test_restarts_and_a_drained_node_fail_no_request_and_every_feed_is_right(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    async with fanfold.load(gateway, "restarts") as load:
        for service in SERVICES:
            restart = ("--namespace", NAMESPACE, "rollout", "restart", workload_of(service))
            await asyncio.to_thread(fanfold.cluster.kubectl, *restart)
            await asyncio.to_thread(rolled_out, fanfold.cluster, service)
        await asyncio.to_thread(restart_the_proxies, fanfold.cluster)
        for number in range(1, 4):
            await asyncio.to_thread(_drain_and_return, fanfold.cluster, f"node-{number}")
    assert load.asked.refused == {}


def _drain_and_return(cluster: Cluster, node: str) -> None:
    cluster.kubectl(
        *("drain", node, "--pod-selector=app.kubernetes.io/part-of=fanfold"),
        *("--delete-emptydir-data", "--timeout=240s"),
    )
    cluster.kubectl("uncordon", node)
    for service in SERVICES:
        rolled_out(cluster, service)
