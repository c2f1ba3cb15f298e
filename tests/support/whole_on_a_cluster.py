"""The project's own image on real nodes, with real engines beside them, behind a real Envoy Gateway, scaled by a real KEDA."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.cluster_load import ClusterLoad
from tests.support.cluster_verdict import judged_by_its_log
from tests.support.engines_at_a_node import (
    NodeEngines,
    engines_at_the_node,
    network_of_the_first_node,
)
from tests.support.eventually import eventually
from tests.support.image import build
from tests.support.k8s import MANIFESTS, Object
from tests.support.k8s_cluster import HOME, NAMESPACE, NODES, SCRIPT, Cluster, workload_of
from tests.support.k8s_gateway import CONTROLLER, address_of_the_gateway, install_envoy_gateway
from tests.support.k8s_schemas import ROOT
from tests.support.real_stack import lag

OVERLAY = ROOT / "tests" / "cluster" / "overlay"
WORKERS = 2
_THRESHOLD = 100_000
_PODS = ("--selector", "app.kubernetes.io/part-of=fanfold")


@dataclass(frozen=True)
class Installed:
    """The project on a cluster, and the address of its gateway."""

    cluster: Cluster
    engines: NodeEngines
    address: str

    def pods(self, service: str = "") -> list[Object]:
        """Those that are neither being deleted nor evicted, of that service or of all."""
        chosen = ("--selector", f"app.kubernetes.io/name={service}") if service else _PODS
        return [
            pod
            for pod in self.cluster.get(NAMESPACE, "pods", *chosen)
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] != "Failed"
        ]

    def restarts(self, *, since: Mapping[str, int] | None = None) -> dict[str, int]:
        """Of each pod's container, by the pod's name; or those that are more than they were."""
        found = {
            pod["metadata"]["name"]: status["restartCount"]
            for pod in self.pods()
            for status in pod["status"].get("containerStatuses", ())
        }
        if since is None:
            return found
        more = {name: count - since.get(name, 0) for name, count in found.items()}
        return {name: count for name, count in more.items() if count}

    async def replicas(self, service: str, *, ready: bool = False) -> int:
        """How many are wanted, or are ready."""
        words = (NAMESPACE, workload_of(service))
        (found,) = await asyncio.to_thread(self.cluster.get, *words)
        count: int = found["status"].get("readyReplicas", 0) if ready else found["spec"]["replicas"]
        return count

    async def until_replicas(
        self, service: str, wanted: Callable[[int], bool], *, ready: bool = False
    ) -> None:
        async def reached() -> bool:
            return wanted(await self.replicas(service, ready=ready))

        what = f"{service} has as many processes as it should"
        await eventually(reached, within_s=300, every_s=1, what=what)

    async def handled(self) -> None:
        """Return when the workers have acknowledged all events."""

        async def all_handled() -> bool:
            return await lag(self.engines.settings) == 0

        await eventually(all_handled, within_s=180, every_s=1, what="no lag")

    @asynccontextmanager
    async def load(
        self, gateway: httpx2.AsyncClient, name: str, *, per_s: float = 6
    ) -> AsyncIterator[ClusterLoad]:
        """Requests of that name during the block; then exact numbers of what went wrong, all of which must be 0."""
        load = ClusterLoad(gateway, name, per_s=per_s)
        await load.prepare()
        async with load.running():
            await asyncio.sleep(3)
            yield load
            await asyncio.sleep(3)
        await self.handled()
        verdict = await judged_by_its_log(self.engines.settings, _THRESHOLD, gateway, load)
        print(name, verdict, load.asked)
        verdict.assert_nothing_went_wrong(gateway_failed=False)


def run(*command: str | Path) -> None:
    """One of our own scripts, on this cluster."""
    environment = {**os.environ, "KUBECTL": f"{SCRIPT} kubectl", "TIMEOUT": "5m"}  # noqa: TID251 - handed on
    subprocess.run(list(map(str, command)), check=True, env=environment)


def roll_out(overlay: Path, *, scripts: Path = ROOT / "scripts") -> None:
    """As the runbooks do."""
    run(scripts / "k8s_rollout", overlay)


def import_image(archive: Path) -> None:
    """Into every node."""
    for number in range(1, NODES + 1):
        run(SCRIPT, "inside", str(number), "ctr", "--namespace=k8s.io", "images", "import", archive)


@contextmanager
def installed(cluster: Cluster, directory: Path) -> Iterator[Installed]:
    """From nothing, by the commands of docs/kubernetes.md; all of it is deleted at the end."""
    archive = HOME / "fanfold.tar"
    build().save(archive)
    import_image(archive)
    install_envoy_gateway(cluster)
    run(SCRIPT, "install", "keda")
    cluster.kubectl("create", "namespace", NAMESPACE)
    run(ROOT / "scripts" / "k8s_secrets", NAMESPACE)
    with network_of_the_first_node(), asyncio.Runner() as runner:
        engines = engines_at_the_node(cluster, NAMESPACE, directory)
        running = runner.run(engines.__aenter__())
        try:
            roll_out(OVERLAY)
            yield Installed(cluster, running, address_of_the_gateway(cluster))
        finally:
            runner.run(engines.__aexit__(None, None, None))
            # KEDA must be there until its object has gone, and its metrics until no namespace is deleted.
            cluster.kubectl("delete", "namespace", NAMESPACE)
            cluster.kubectl("delete", "--filename", str(MANIFESTS / "nodes" / "keda.yaml"))
            cluster.kubectl("delete", "namespace", CONTROLLER)
