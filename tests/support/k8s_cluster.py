"""A real cluster of three nodes (`scripts/k8s_cluster`), and our own manifests in it with a stand-in for each program."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.k8s import SERVICES, Object, Workload, named, of_kind, rendered, workload
from tests.support.k8s_schemas import ROOT

IMAGE = "localhost/tester:1"
"""Answers at the ports of PORTS, and asks as it is told to: deploy/k8s/nodes/tester."""
TESTER = "/usr/local/bin/tester"
SCRIPT = str(ROOT / "scripts" / "k8s_cluster")
HOME = Path(
    os.environ.get("FANFOLD_CLUSTER", Path.home() / ".cache" / "fanfold-cluster")  # noqa: TID251 - as the script reads it
)
NODES = 3
NAMESPACE = "fanfold"


class Cluster:
    """Calls as the administrator."""

    def kubectl(self, *words: str, given: str = "", check: bool = True) -> str:
        """What it prints, its complaints too if it may fail."""
        ran = subprocess.run(
            [SCRIPT, "kubectl", *words], input=given, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0 or not check, ran.stderr
        return ran.stdout if check else ran.stdout + ran.stderr

    def apply(self, objects: Sequence[Object]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--filename", "-", given=json.dumps(listed))

    def get(self, namespace: str, *words: str) -> list[Object]:
        found: Object = json.loads(
            self.kubectl("--namespace", namespace, "get", *words, "--output", "json")
        )
        items: list[Object] = found.get("items", [found])
        return items

    def ask(self, namespace: str, pod: str, *words: str) -> list[str]:
        """Lines that the stand-in prints in that pod."""
        return self.kubectl(
            "--namespace", namespace, "exec", pod, "--", TESTER, *words
        ).splitlines()

    @contextmanager
    def asking(
        self, namespace: str, pod: str, url: str, *further: str, seconds: int
    ) -> Iterator[list[str]]:
        """Requests of the stand-in in that pod, as long as that; then what was answered, each status once. `further` as its `get` takes it."""
        words = ["--namespace", namespace, "exec", pod, "--", TESTER, "get", url, str(seconds)]
        with subprocess.Popen(
            [SCRIPT, "kubectl", *words, *further], stdout=subprocess.PIPE, text=True
        ) as process:
            answered: list[str] = []
            yield answered
            output, _ = process.communicate(timeout=2 * seconds)
            answered += [line.split(maxsplit=1)[1] for line in output.splitlines()]


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Gone at the end, with everything that was in it."""
    subprocess.run([SCRIPT, "start", str(NODES)], check=True)
    try:
        yield Cluster()
    finally:
        subprocess.run([SCRIPT, "stop"], check=True)


@contextmanager
def stand_ins(cluster: Cluster) -> Iterator[None]:
    """The overlay of production without its engines and controllers: the services, with a stand-in for each program."""
    objects = rendered("prod")
    kinds = ("Namespace", "ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget")
    cluster.apply(of_kind(objects, *kinds))
    cluster.apply(of_kind(objects, "NetworkPolicy"))
    for service in SERVICES:
        resource = workload(objects, service)
        cluster.apply(secrets_of(resource, NAMESPACE))
        cluster.apply([with_stand_in(named(objects, resource.kind, service), replicas=NODES)])
    for service in SERVICES:
        rolled_out(cluster, service)
    try:
        yield
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE)


def workload_of(service: str) -> str:
    return f"{'statefulset' if service == 'fanout-service' else 'deployment'}/{service}"


def rolled_out(cluster: Cluster, service: str) -> None:
    cluster.kubectl(
        "--namespace", NAMESPACE, "rollout", "status", workload_of(service), "--timeout=300s"
    )


def a_pod(
    name: str, namespace: str, labels: Mapping[str, str], ports: Sequence[int] = (8080,)
) -> Object:
    """A stand-in with these labels that answers at these ports, as restricted as Pod Security wants it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "tester",
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "env": [{"name": "PORTS", "value": ",".join(map(str, ports))}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def with_stand_in(manifest: Object, *, replicas: int) -> Object:
    """A service's Deployment or StatefulSet with the stand-in in place of the program, and nothing else changed but its number and its share of the cores."""
    changed = copy.deepcopy(manifest)
    changed["spec"]["replicas"] = replicas
    (container,) = changed["spec"]["template"]["spec"]["containers"]
    del container["args"]
    container |= {"image": IMAGE, "imagePullPolicy": "Never"}
    # Three nodes share the cores of one machine, and one of them is drained.
    container["resources"]["requests"]["cpu"] = "50m"
    container["env"].append({"name": "PORTS", "value": "8080,8081"})
    return changed


def secrets_of(resource: Workload, namespace: str) -> list[Object]:
    """Those that its pods mount or read, with something in each key."""
    keys: dict[str, set[str]] = {}
    for volume in resource.pod.get("volumes", ()):
        if "secret" in volume:
            items = {item["key"] for item in volume["secret"].get("items", ())}
            keys.setdefault(volume["secret"]["secretName"], set()).update(items)
    for container in resource.containers:
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                keys.setdefault(reference["name"], set()).add(reference["key"])
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": dict.fromkeys(sorted(wanted), "stand-in"),
        }
        for name, wanted in keys.items()
    ]
