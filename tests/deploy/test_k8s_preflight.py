"""What the preflight says of clusters that have everything, and of clusters that lack something."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml

from tests.support.k8s import Object, of_kind, rendered
from tests.support.k8s_preflight import a_storage_class, an_operator, operators, preflight_program
from tests.support.k8s_secrets import made_by_script

PROGRAM = preflight_program()


@cache
def overlay(*, filled_in: bool) -> Any:
    """The overlay of production, read once."""
    text = yaml.dump_all(rendered("prod"), Dumper=yaml.CSafeDumper)
    return PROGRAM.Overlay(
        re.sub(r"(\w+)\.example\.com", r"\1.corp.net", text) if filled_in else text
    )


class Cluster:
    """What `kubectl get` would find."""

    def __init__(self) -> None:
        self.overlay = overlay(filled_in=True)
        self.minor = "36"
        self.lacking_kinds: set[str] = set()
        self.deployments = operators()
        self.namespace: Object | None = {"metadata": {"name": "fanfold"}}
        self.secrets = set(made_by_script())
        self.zones = ["zone-a", "zone-b", "zone-c"]
        self.storage_classes = [a_storage_class()]
        self.snapshot_drivers = ["csi.example.net"]
        self.gateway_class: Object | None = {"metadata": {"name": "fanfold"}}
        self.has_metrics = True
        self.dns_pods = [{"metadata": {"name": "coredns"}}]

    def ask(self, what: str, *words: str) -> Any:
        if what == "--raw":
            return self._raw(words[0])
        return {
            "deployments": {"items": self.deployments},
            "namespace": self.namespace,
            "secrets": {"items": [{"metadata": {"name": name}} for name in self.secrets]},
            "nodes": {
                "items": [
                    {"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}
                    for zone in self.zones
                ]
            },
            "storageclasses": {"items": self.storage_classes},
            "volumesnapshotclasses": {"items": [{"driver": d} for d in self.snapshot_drivers]},
            "gatewayclass": self.gateway_class,
            "pods": {"items": self.dns_pods},
        }[what]

    def _raw(self, path: str) -> Any:
        if path == "/version":
            return {"minor": self.minor}
        if path == "/apis/metrics.k8s.io/v1beta1":
            return {"resources": []} if self.has_metrics else None
        version = path.removeprefix("/apis/")
        kinds = {kind for wanted, kind in self.overlay.kinds if wanted == version}
        return {"resources": [{"kind": kind} for kind in kinds - self.lacking_kinds]}

    def missing(self) -> list[str]:
        return [
            f"{found.what}: {found.do}"
            for found in PROGRAM.findings(self.overlay, self.ask, minor=36)
            if found.verdict == "missing"
        ]


def test_a_cluster_that_has_everything_lacks_nothing() -> None:
    assert Cluster().missing() == []


def test_it_reads_out_of_the_overlay_what_it_asks_for() -> None:
    read = Cluster().overlay
    objects = rendered("prod")
    assert read.kinds == {(found["apiVersion"], found["kind"]) for found in objects}
    (namespace,) = of_kind(objects, "Namespace")
    assert read.namespace == namespace["metadata"]["name"]
    assert read.secrets == set(made_by_script())
    assert read.zones == {"zone-a", "zone-b", "zone-c"}


def _watches_its_own_namespace(cluster: Cluster) -> None:
    cluster.deployments[1] = an_operator("cass-operator", "cass-operator", WATCH_NAMESPACE=None)


def _watches_others(cluster: Cluster) -> None:
    cluster.deployments[0] = an_operator(
        "strimzi-cluster-operator", "strimzi", STRIMZI_NAMESPACE="strimzi,other"
    )


def _is_elsewhere(cluster: Cluster) -> None:
    cluster.deployments[4] = an_operator("keda-operator", "kube-system", WATCH_NAMESPACE="")


def _is_down(cluster: Cluster) -> None:
    cluster.deployments[2]["status"] = {}


def _binds_at_once(cluster: Cluster) -> None:
    cluster.storage_classes = [a_storage_class(volumeBindingMode="Immediate")]


def _has_no_default(cluster: Cluster) -> None:
    cluster.storage_classes = [a_storage_class(metadata={"name": "standard"})]


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        (_watches_its_own_namespace, "cass-operator in cass-operator: it watches cass-operator only"),
        (_watches_others, "it watches other, strimzi only: set STRIMZI_NAMESPACE"),
        (_is_elsewhere, "the NetworkPolicies admit it from the namespace keda only"),
        (_is_down, "no pod of it is available"),
        (_binds_at_once, "WaitForFirstConsumer"),
        (_has_no_default, "a default storage class"),
        (lambda cluster: cluster.deployments.pop(0), "strimzi-cluster-operator: install it"),
        (lambda cluster: cluster.lacking_kinds.add("KafkaUser"), "kafka.strimzi.io/v1: KafkaUser"),
        (lambda cluster: cluster.secrets.remove("feed-service-cache"), "Secrets: feed-service-cache: scripts/k8s_secrets fanfold"),
        (lambda cluster: cluster.zones.remove("zone-b"), "a node in zone-b"),
        (lambda cluster: cluster.snapshot_drivers.clear(), "a VolumeSnapshotClass of csi.example.net"),
        (lambda cluster: setattr(cluster, "minor", "29+"), "Kubernetes 1.29"),
        (lambda cluster: setattr(cluster, "namespace", None), "kubectl create namespace fanfold"),
        (lambda cluster: setattr(cluster, "gateway_class", None), "gateway-class.yaml"),
        (lambda cluster: setattr(cluster, "has_metrics", False), "metrics-server"),
        (lambda cluster: cluster.dns_pods.clear(), "k8s-app=kube-dns"),
    ],
)  # fmt: skip
def test_the_status_names_what_a_cluster_lacks(
    lacks: Callable[[Cluster], object], says: str
) -> None:
    cluster = Cluster()
    lacks(cluster)

    (missing,) = cluster.missing()

    assert says in missing


def test_a_value_that_nobody_filled_in_is_said() -> None:
    cluster = Cluster()
    cluster.overlay = overlay(filled_in=False)
    assert [missing.split(":")[0] for missing in cluster.missing()] == [
        f"a value in place of {name}.example.com"
        for name in ("api", "fanfold", "identity", "registry")
    ]
