"""The preflight, by `kubectl`, against a real API server in which operators, nodes and classes are only objects."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.k8s import MANIFESTS, Object
from tests.support.k8s_preflight import a_storage_class, an_operator, operators
from tests.support.k8s_scripts import run_script
from tests.support.kube_apiserver import KubeApi

NOT_HERE = [
    *(
        f"a value in place of {name}.example.com"
        for name in ("api", "fanfold", "identity", "registry")
    ),
    "a VolumeSnapshotClass of csi.example.net",
    "metrics-server",
]
"""What this server lacks: nobody has filled in the overlay, and there are no aggregated APIs."""


def missing(kubectl: str) -> list[str]:
    ran = run_script("k8s_preflight", str(MANIFESTS / "overlays/prod"), kubectl=kubectl)
    assert ran.stderr == ""
    found = [line.split(maxsplit=1)[1] for line in ran.stdout.splitlines() if "missing" in line]
    assert ran.returncode == bool(found)
    return [what.split(": ")[0] for what in found]


def make(api: KubeApi, objects: Sequence[Object]) -> None:
    for manifest in objects:
        if namespace := manifest["metadata"].get("namespace"):
            api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        status = manifest.pop("status", None)
        api.apply(manifest)
        if status:
            api.set_status(manifest, status)


def a_node(zone: str) -> Object:
    labels = {"topology.kubernetes.io/zone": zone}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{zone}", "labels": labels},
    }


def a_dns_pod() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "coredns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns"},
        },
        "spec": {"containers": [{"name": "coredns", "image": "coredns:1"}]},
    }


def a_gateway_class() -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "fanfold"},
        "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
    }


def test_a_cluster_with_everything_passes_and_an_operator_that_watches_only_itself_does_not(
    api: KubeApi, kubectl: str
) -> None:
    run_script("k8s_secrets", "fanfold", kubectl=kubectl)
    make(
        api,
        [
            *operators(),
            *(a_node(zone) for zone in ("zone-a", "zone-b", "zone-c")),
            a_storage_class(),
            a_dns_pod(),
            a_gateway_class(),
        ],
    )
    assert missing(kubectl) == NOT_HERE

    make(api, [an_operator("cass-operator", "cass-operator", WATCH_NAMESPACE=None)])

    assert missing(kubectl) == [
        *NOT_HERE[:4],
        "cass-operator in cass-operator",
        *NOT_HERE[4:],
    ]


def test_no_cluster_is_an_error_of_its_own() -> None:
    ran = run_script(
        "k8s_preflight",
        str(MANIFESTS / "overlays/prod"),
        kubectl="kubectl --server https://127.0.0.1:1 --request-timeout 1s",
    )
    assert ran.returncode == 1
    assert "the cluster does not answer" in ran.stderr
