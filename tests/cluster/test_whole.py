"""The project's own image on real nodes, with real engines beside them, behind a real Envoy Gateway, scaled by a real KEDA."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from fanfold.core.clock import SystemClock
from fanfold.core.events import PostLiked
from tests.support.cluster_load import ClusterLoad
from tests.support.cluster_verdict import judged_by_its_log
from tests.support.engines_at_a_node import (
    NodeEngines,
    engines_at_the_node,
    network_of_the_first_node,
)
from tests.support.eventually import eventually
from tests.support.fanout import at
from tests.support.image import build
from tests.support.k8s import MANIFESTS, SERVICES
from tests.support.k8s_cluster import (
    HOME,
    NAMESPACE,
    NODES,
    SCRIPT,
    Cluster,
    rolled_out,
    workload_of,
)
from tests.support.k8s_gateway import (
    CONTROLLER,
    address_of_the_gateway,
    install_envoy_gateway,
    restart_the_proxies,
)
from tests.support.k8s_schemas import ROOT
from tests.support.real_stack import lag
from tests.support.secured_cluster import log_of

pytestmark = pytest.mark.timeout(900)
OVERLAY = ROOT / "tests" / "cluster" / "overlay"
WORKERS = 2
ALICE = {"X-User-Id": "alice"}


@dataclass(frozen=True)
class Installed:
    """The project on a cluster, and the address of its gateway."""

    cluster: Cluster
    engines: NodeEngines
    address: str


@pytest.fixture(scope="module")
def fanfold(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Installed from nothing by the commands of docs/kubernetes.md."""
    archive = HOME / "fanfold.tar"
    build().save(archive)
    for number in range(1, NODES + 1):
        _run(
            SCRIPT, "inside", str(number), "ctr", "--namespace=k8s.io", "images", "import", archive
        )
    install_envoy_gateway(cluster)
    _run(SCRIPT, "install", "keda")
    cluster.kubectl("create", "namespace", NAMESPACE)
    _run(ROOT / "scripts" / "k8s_secrets", NAMESPACE)
    with network_of_the_first_node(), asyncio.Runner() as runner:
        engines = engines_at_the_node(cluster, NAMESPACE, tmp_path_factory.mktemp("engines"))
        running = runner.run(engines.__aenter__())
        try:
            _run(ROOT / "scripts" / "k8s_rollout", OVERLAY)
            yield Installed(cluster, running, address_of_the_gateway(cluster))
        finally:
            runner.run(engines.__aexit__(None, None, None))
            # KEDA must be there until its object has gone, and its metrics until no namespace is deleted.
            cluster.kubectl("delete", "namespace", NAMESPACE)
            cluster.kubectl("delete", "--filename", str(MANIFESTS / "nodes" / "keda.yaml"))
            cluster.kubectl("delete", "namespace", CONTROLLER)


def _run(*command: str | Path) -> None:
    environment = {**os.environ, "KUBECTL": f"{SCRIPT} kubectl", "TIMEOUT": "5m"}  # noqa: TID251 - handed on
    subprocess.run(list(map(str, command)), check=True, env=environment)


@pytest.fixture
async def gateway(fanfold: Installed) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://{fanfold.address}", timeout=30) as client:
        yield client


async def test_restarts_and_a_drained_node_fail_no_request_and_every_feed_is_right(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    load = ClusterLoad(gateway, "restarts", per_s=6)
    await load.prepare()
    async with load.running():
        await asyncio.sleep(3)
        for service in SERVICES:
            restart = ("--namespace", NAMESPACE, "rollout", "restart", workload_of(service))
            await asyncio.to_thread(fanfold.cluster.kubectl, *restart)
            await asyncio.to_thread(rolled_out, fanfold.cluster, service)
        await asyncio.to_thread(restart_the_proxies, fanfold.cluster)
        await asyncio.to_thread(_drain_and_return, fanfold.cluster, "node-2")
        await asyncio.sleep(3)
    await _handled(fanfold)

    verdict = await judged_by_its_log(fanfold.engines.settings, 100_000, gateway, load)
    print(verdict, load.asked)
    verdict.assert_nothing_went_wrong(gateway_failed=False)
    assert load.asked.refused == {}


def _drain_and_return(cluster: Cluster, node: str) -> None:
    cluster.kubectl(
        *("drain", node, "--pod-selector=app.kubernetes.io/part-of=fanfold"),
        *("--delete-emptydir-data", "--timeout=240s"),
    )
    cluster.kubectl("uncordon", node)
    for service in SERVICES:
        rolled_out(cluster, service)


async def _handled(fanfold: Installed) -> None:
    async def all_handled() -> bool:
        return await lag(fanfold.engines.settings) == 0

    await eventually(all_handled, within_s=180, every_s=1, what="no lag")


async def test_a_frozen_cassandra_makes_a_lag_that_adds_workers_and_restarts_nothing(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    cluster, engines = fanfold.cluster, fanfold.engines
    before = _restarts(cluster)
    process = engines.cassandra.process
    assert process is not None
    assert await _workers_are(cluster, exactly=WORKERS)
    written = await gateway.post("/posts", headers=ALICE, json={"content": "to be liked"})
    post_id = UUID(written.json()["post_id"])

    os.kill(process.pid, signal.SIGSTOP)
    try:
        # More than three workers' worth: a worker takes a thousand (KEDA's lagThreshold).
        now = at(SystemClock().now_ms())
        async with log_of(engines.settings) as log:
            await log.append_many(
                [
                    PostLiked(post_id=post_id, author_id="alice", user_id=f"fan-{n}", liked_at=now)
                    for n in range(3500)
                ]
            )
        await eventually(
            lambda: _ready(cluster, "feed-service", 0), within_s=120, every_s=1, what="unready"
        )
        await eventually(
            lambda: _workers_are(cluster, more_than=WORKERS),
            within_s=180,
            every_s=1,
            what="more workers",
        )
    finally:
        os.kill(process.pid, signal.SIGCONT)

    await _handled(fanfold)
    await eventually(
        lambda: _workers_are(cluster, exactly=WORKERS),
        within_s=300,
        every_s=1,
        what="as many workers as before",
    )
    await eventually(
        lambda: _ready(cluster, "feed-service", 2), within_s=120, every_s=1, what="ready again"
    )
    assert _restarts(cluster) == before
    shown = await gateway.get(f"/posts/{post_id}", headers=ALICE)
    assert (shown.status_code, shown.json()["like_count"]) == (200, 3500)


async def _ready(cluster: Cluster, service: str, replicas: int) -> bool:
    (found,) = await asyncio.to_thread(cluster.get, NAMESPACE, f"deployment/{service}")
    return bool(found["status"].get("readyReplicas", 0) == replicas)


async def _workers_are(cluster: Cluster, *, more_than: int = 0, exactly: int = 0) -> bool:
    (found,) = await asyncio.to_thread(cluster.get, NAMESPACE, "statefulset/fanout-service")
    wanted: int = found["spec"]["replicas"]
    return wanted == exactly if exactly else wanted > more_than


def _restarts(cluster: Cluster) -> int:
    """Of all containers of the services."""
    pods = cluster.get(NAMESPACE, "pods", "--selector", "app.kubernetes.io/part-of=fanfold")
    return sum(
        status["restartCount"]
        for pod in pods
        for status in pod["status"].get("containerStatuses", ())
    )
