"""Which pod reaches which, with the policies of production enforced by real nodes: every edge that is needed, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.k8s import Object, of_kind, rendered
from tests.support.k8s_cluster import NAMESPACE, Cluster, a_pod

KAFKA = {
    "strimzi.io/cluster": "fanfold-kafka",
    "strimzi.io/kind": "Kafka",
    "strimzi.io/name": "fanfold-kafka-kafka",
}
CASSANDRA = {"cassandra.datastax.com/cluster": "fanfold-cassandra"}
PROXY = {
    "app.kubernetes.io/name": "envoy",
    "gateway.envoyproxy.io/owning-gateway-name": "fanfold",
    "gateway.envoyproxy.io/owning-gateway-namespace": NAMESPACE,
}
OURS = (
    "post-service",
    "graph-service",
    "feed-service",
    "fanout-service",
    "prepare",
    "activity-sweep",
)
PORTS = (6379, 7000, 7001, 8080, 8081, 9000, 9042, 9090, 9091, 9093, 9121, 9404)
"""At all of these every stand-in answers, so that only a policy can be the reason why nobody reaches it."""

# Each pod: its namespace and labels.
PODS: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (NAMESPACE, {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "fanfold"}) for name in OURS},
    "cassandra-repair": (NAMESPACE, {"app.kubernetes.io/name": "cassandra-repair"}),
    "fanfold-cache": (NAMESPACE, {"app.kubernetes.io/name": "fanfold-cache"}),
    "kafka-a": (NAMESPACE, KAFKA),
    "kafka-b": (NAMESPACE, KAFKA),
    "cassandra-a": (NAMESPACE, CASSANDRA),
    "cassandra-b": (NAMESPACE, CASSANDRA),
    "stranger": (NAMESPACE, {}),
    "proxy": ("envoy-gateway-system", PROXY),
    "other-proxy": ("envoy-gateway-system", {**PROXY, "gateway.envoyproxy.io/owning-gateway-name": "other"}),
    "prometheus": ("monitoring", {}),
    "cass-operator": ("cass-operator", {}),
    "keda": ("keda", {}),
    "foreign": ("foreign", {"app.kubernetes.io/name": "post-service"}),
}  # fmt: skip
APIS = ("post-service", "graph-service", "feed-service")


def edges() -> set[tuple[str, str, int]]:
    """Source, target and port of every connection that somebody needs."""
    needed = {(name, kafka, 9093) for name in OURS for kafka in ("kafka-a", "kafka-b")}
    needed |= {(name, node, 9042) for name in OURS for node in ("cassandra-a", "cassandra-b")}
    needed |= {(name, "fanfold-cache", 6379) for name in ("feed-service", "fanout-service")}
    needed |= {("proxy", name, 8080) for name in APIS}
    needed |= {("prometheus", name, 8081) for name in (*APIS, "fanout-service")}
    needed |= {("prometheus", "fanfold-cache", 9121)}
    needed |= {
        ("prometheus", kafka, port) for kafka in ("kafka-a", "kafka-b") for port in (8081, 9404)
    }
    needed |= {("prometheus", node, 9000) for node in ("cassandra-a", "cassandra-b")}
    needed |= {("keda", kafka, 9093) for kafka in ("kafka-a", "kafka-b")}
    for node, other in (("cassandra-a", "cassandra-b"), ("cassandra-b", "cassandra-a")):
        needed |= {(node, other, port) for port in (7000, 7001, 8080)}
        needed |= {(who, node, 8080) for who in ("cass-operator", "cassandra-repair")}
    for broker, other in (("kafka-a", "kafka-b"), ("kafka-b", "kafka-a")):
        needed |= {(broker, other, port) for port in (9090, 9091)}
    return needed


def strimzis_policy(kafka: Object) -> Object:
    """What Strimzi makes of the listener and its peers: it is not here."""
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    brokers = {"podSelector": {"matchLabels": {"strimzi.io/name": "fanfold-kafka-kafka"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "fanfold-kafka-network-policy-kafka", "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"strimzi.io/name": "fanfold-kafka-kafka"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": listener["networkPolicyPeers"],
                    "ports": [{"protocol": "TCP", "port": listener["port"]}],
                },
                {
                    "from": [brokers],
                    "ports": [{"protocol": "TCP", "port": port} for port in (9090, 9091)],
                },
            ],
        },
    }


@pytest.fixture(scope="module")
def addresses(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The address of every pod."""
    objects = rendered("prod")
    for name in sorted({namespace for namespace, _ in PODS.values()} - {NAMESPACE}):
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    cluster.apply(of_kind(objects, "Namespace"))
    pods = [a_pod(name, namespace, labels, PORTS) for name, (namespace, labels) in PODS.items()]
    for pod in pods:
        # As the manifests name them: policies may name a port so.
        pod["spec"]["containers"][0]["ports"] = named_ports(pod["metadata"]["name"])
    cluster.apply(pods)
    (kafka,) = of_kind(objects, "Kafka")
    cluster.apply([*of_kind(objects, "NetworkPolicy"), strimzis_policy(kafka)])
    namespaces = sorted({namespace for namespace, _ in PODS.values()})
    for name in namespaces:
        cluster.kubectl(
            "--namespace", name, "wait", "pods", "--all", "--for=condition=Ready", "--timeout=90s"
        )
    yield {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for name in namespaces
        for pod in cluster.get(name, "pods")
    }
    cluster.kubectl("delete", "namespace", *namespaces)


def named_ports(pod: str) -> list[Object]:
    if pod == "fanfold-cache":
        return [
            {"name": "cache", "containerPort": 6379},
            {"name": "metrics", "containerPort": 9121},
        ]
    return [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}]


def test_every_edge_that_is_needed_is_open_and_no_other(
    cluster: Cluster, addresses: dict[str, str]
) -> None:
    by_address = {
        f"{address}:{port}": (name, port) for name, address in addresses.items() for port in PORTS
    }
    # From and to outside it is the business of others.
    inside = {name for name, (namespace, _) in PODS.items() if namespace == NAMESPACE}
    found = set()
    for source, (namespace, _) in PODS.items():
        targets = [
            where
            for where, (target, _) in by_address.items()
            if target != source and (target in inside or source in inside)
        ]
        found |= {
            (source, *by_address[reached])
            for reached in cluster.ask(namespace, source, "dial", *targets)
        }

    assert found - edges() == set()
    assert edges() - found == set()


def test_names_can_be_asked_of_the_clusters_dns_from_every_pod(
    cluster: Cluster, addresses: dict[str, str]
) -> None:
    assert addresses
    (dns,) = (
        pod["status"]["podIP"]
        for pod in cluster.get("kube-system", "pods", "--selector", "k8s-app=kube-dns")
    )
    for source in (*OURS, "stranger"):
        assert cluster.ask(NAMESPACE, source, "dial", f"{dns}:53", "10.96.0.1:443") == [f"{dns}:53"]
