"""Nothing is allowed that nobody needs, and everything that somebody needs is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

import pytest

from tests.support.k8s import (
    OVERLAYS,
    SERVICES,
    Object,
    named,
    of_kind,
    rendered,
    selects,
    workloads,
)

KAFKA = {
    "strimzi.io/cluster": "fanfold-kafka",
    "strimzi.io/kind": "Kafka",
    "strimzi.io/name": "fanfold-kafka-kafka",
}
CASSANDRA = {"cassandra.datastax.com/cluster": "fanfold-cassandra"}
"""Labels that the operators give to the pods that they make."""
CACHE = {"app.kubernetes.io/name": "fanfold-cache"}
SYSTEM_NAMESPACES = {
    "kube-system",
    "envoy-gateway-system",
    "monitoring",
    "cass-operator",
    "keda",
}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def policies_of(
    objects: Sequence[Object], labels: dict[str, str], direction: str
) -> Iterator[Object]:
    for policy in of_kind(objects, "NetworkPolicy"):
        if direction in policy["spec"]["policyTypes"] and selects(
            policy["spec"]["podSelector"], labels
        ):
            yield from policy["spec"].get(direction.lower(), ())


def may_reach(
    objects: Sequence[Object], labels: dict[str, str], target: dict[str, str], port: int
) -> bool:
    """Whether a pod may open a connection to another of the namespace: out of the one."""
    return any(
        any(_is_pod(peer, target) for peer in rule.get("to", ()))
        and any(p["port"] <= port <= p.get("endPort", p["port"]) for p in rule["ports"])
        for rule in policies_of(objects, labels, "Egress")
    )


def lets_in(
    objects: Sequence[Object], labels: dict[str, str], source: dict[str, str], port: int | str
) -> bool:
    """Whether a pod accepts it: into the other."""
    return any(
        any(_is_pod(peer, source) for peer in rule.get("from", ()))
        and any(p["port"] == port for p in rule["ports"])
        for rule in policies_of(objects, labels, "Ingress")
    )


def _is_pod(peer: Object, labels: dict[str, str]) -> bool:
    return "namespaceSelector" not in peer and selects(peer.get("podSelector", {}), labels)


def test_nothing_is_allowed_but_what_is_named(objects: tuple[Object, ...]) -> None:
    assert named(objects, "NetworkPolicy", "deny-all")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            assert rule.get("from"), f"{policy['metadata']['name']} lets everybody in"


def test_every_policy_is_about_pods_that_there_are(objects: tuple[Object, ...]) -> None:
    pods = [dict(resource.labels) for resource in workloads(objects)] + [KAFKA, CASSANDRA]
    for policy in of_kind(objects, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        assert any(selects(selector, labels) for labels in pods), policy["metadata"]["name"]
        for rule in [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]:
            for peer in [*rule.get("from", ()), *rule.get("to", ())]:
                if "namespaceSelector" in peer:
                    namespace = peer["namespaceSelector"]["matchLabels"]
                    assert set(namespace.values()) <= SYSTEM_NAMESPACES
                elif "ipBlock" in peer:
                    assert policy["metadata"]["name"] == "issuer-keys"
                else:
                    assert any(selects(peer["podSelector"], labels) for labels in pods), peer


def test_every_pod_that_needs_an_engine_reaches_it_and_is_let_in(
    objects: tuple[Object, ...],
) -> None:
    (kafka,) = of_kind(objects, "Kafka")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    ours = [resource for resource in workloads(objects) if resource.is_ours]
    assert {resource.name for resource in ours} >= {*SERVICES, "prepare"}
    for resource in ours:
        labels = dict(resource.labels)
        assert may_reach(objects, labels, KAFKA, listener["port"]), resource.name
        # Strimzi makes a policy of the peers of the listener.
        assert any(_is_pod(peer, labels) for peer in listener["networkPolicyPeers"]), resource.name
        assert may_reach(objects, labels, CASSANDRA, 9042), resource.name
        assert lets_in(objects, CASSANDRA, labels, 9042), resource.name


def test_the_gateway_reaches_the_apis_and_the_monitoring_reaches_metrics_only(
    objects: tuple[Object, ...],
) -> None:
    for service in SERVICES:
        policy = named(objects, "NetworkPolicy", service)
        reached = {
            (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
            for rule in policy["spec"]["ingress"]
            for peer in rule["from"]
            for port in rule["ports"]
        }
        # Nobody calls a worker.
        assert reached == {("monitoring", "metrics")} | (
            {("envoy-gateway-system", "http")} if service != "fanout-service" else set()
        )


def test_only_the_proxies_of_the_own_gateway_are_let_in(objects: tuple[Object, ...]) -> None:
    (gateway,) = of_kind(objects, "Gateway")
    proxies = [
        peer["podSelector"]["matchLabels"]
        for policy in of_kind(objects, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
        if "envoy-gateway-system" in str(peer.get("namespaceSelector"))
    ]
    behind = {
        backend["name"]
        for route in of_kind(objects, "HTTPRoute")
        for rule in route["spec"]["rules"]
        for backend in rule.get("backendRefs", ())
    }
    assert behind >= {"post-service", "graph-service", "feed-service"}
    assert proxies == len(behind) * [
        {
            "app.kubernetes.io/name": "envoy",
            "gateway.envoyproxy.io/owning-gateway-name": gateway["metadata"]["name"],
            "gateway.envoyproxy.io/owning-gateway-namespace": gateway["metadata"]["namespace"],
        }
    ]


def test_no_service_calls_another(objects: tuple[Object, ...]) -> None:
    pods = {
        resource.name: dict(resource.labels)
        for resource in workloads(objects)
        if resource.is_service
    }
    for caller, labels in pods.items():
        for called in pods.values():
            assert not may_reach(objects, labels, called, 8080), caller


def test_only_the_apis_reach_the_issuer_of_tokens_and_nothing_private_on_the_way() -> None:
    objects = rendered("prod")
    policy = named(objects, "NetworkPolicy", "issuer-keys")["spec"]
    assert {
        resource.name
        for resource in workloads(objects)
        if selects(policy["podSelector"], resource.labels)
    } == {"post-service", "graph-service", "feed-service"}
    assert policy["policyTypes"] == ["Egress"]
    (rule,) = policy["egress"]
    assert [(port["protocol"], port["port"]) for port in rule["ports"]] == [("TCP", 443)]
    (peer,) = rule["to"]
    outside = ip_network(peer["ipBlock"]["cidr"])
    kept = [ip_network(block) for block in peer["ipBlock"]["except"]]
    for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.169.254/32"):
        assert any(ip_network(private).subnet_of(block) for block in kept), private  # type: ignore[arg-type]
    assert all(block.subnet_of(outside) for block in kept)  # type: ignore[arg-type]


def test_the_nodes_of_an_engine_reach_one_another(objects: tuple[Object, ...]) -> None:
    assert may_reach(objects, KAFKA, KAFKA, 9090)
    assert may_reach(objects, KAFKA, KAFKA, 9091)
    for port in (7000, 7001, 8080):
        assert may_reach(objects, CASSANDRA, CASSANDRA, port)
        assert lets_in(objects, CASSANDRA, CASSANDRA, port)
    repair = {"app.kubernetes.io/name": "cassandra-repair"}
    assert may_reach(objects, repair, CASSANDRA, 8080)
    assert lets_in(objects, CASSANDRA, repair, 8080)


def test_only_feeds_and_workers_reach_the_cache_and_the_monitoring_reaches_its_metrics_only(
    objects: tuple[Object, ...],
) -> None:
    for resource in workloads(objects):
        labels = dict(resource.labels)
        wanted = resource.name in ("feed-service", "fanout-service")
        assert may_reach(objects, labels, CACHE, 6379) is wanted, resource.name
        assert lets_in(objects, CACHE, labels, 6379) is wanted, resource.name
    rules = list(policies_of(objects, CACHE, "Ingress"))
    others = [rule for rule in rules if "namespaceSelector" in str(rule["from"])]
    (monitoring,) = others
    assert monitoring["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    assert [port["port"] for port in monitoring["ports"]] == ["metrics"]


def test_everybody_may_ask_for_a_name(objects: tuple[Object, ...]) -> None:
    policy = named(objects, "NetworkPolicy", "allow-dns")["spec"]
    assert policy["podSelector"] == {}
    (rule,) = policy["egress"]
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
    }


def test_every_disruption_budget_and_every_spread_is_about_its_own_pods(
    objects: tuple[Object, ...],
) -> None:
    pods = {resource.name: resource for resource in workloads(objects)}
    for budget in of_kind(objects, "PodDisruptionBudget"):
        name = budget["metadata"]["name"]
        selected = {
            resource.name
            for resource in pods.values()
            if selects(budget["spec"]["selector"], resource.labels)
        }
        assert selected == {name}
        # With one replica a budget of "one must stay" would keep its node from ever being drained.
        assert budget["spec"]["maxUnavailable"] == 1
    for resource in pods.values():
        for constraint in resource.pod.get("topologySpreadConstraints", ()):
            assert selects(constraint["labelSelector"], resource.labels), resource.name
        selector = resource.spec.get("selector")
        if selector:
            assert selects(selector, resource.labels), resource.name
