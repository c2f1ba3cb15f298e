"""The services' own manifests on real nodes: admitted, spread, probed, drained and rolled out, with a stand-in for each program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.k8s import SERVICES, Object, of_kind, rendered
from tests.support.k8s_cluster import (
    NAMESPACE,
    NODES,
    Cluster,
    a_pod,
    rolled_out,
    stand_ins,
)
from tests.support.probes import wait_until

GATEWAY = "envoy-gateway-system"
URL = "http://post-service.fanfold.svc.cluster.local:8080/"
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def fanfold(cluster: Cluster) -> Iterator[Cluster]:
    """The overlay of production without engines, and a proxy of the gateway."""
    (proxy_labels,) = {
        tuple(peer["podSelector"]["matchLabels"].items())
        for policy in of_kind(rendered("prod"), "NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
        if GATEWAY in str(peer.get("namespaceSelector"))
    }
    cluster.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAY}},
            a_pod("proxy", GATEWAY, dict(proxy_labels)),
        ]
    )
    cluster.kubectl(
        "--namespace", GATEWAY, "wait", "pod/proxy", "--for=condition=Ready", "--timeout=60s"
    )
    with stand_ins(cluster):
        yield cluster
    cluster.kubectl("delete", "namespace", GATEWAY)


def pods_of(cluster: Cluster, service: str) -> list[Object]:
    selector = f"app.kubernetes.io/name={service}"
    return [
        pod
        for pod in cluster.get(NAMESPACE, "pods", "--selector", selector)
        if "deletionTimestamp" not in pod["metadata"]
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_pod_in_every_zone(fanfold: Cluster, service: str) -> None:
    assert {pod["spec"]["nodeName"] for pod in pods_of(fanfold, service)} == {
        f"node-{number}" for number in range(1, NODES + 1)
    }


def test_a_pod_that_may_more_is_refused(fanfold: Cluster) -> None:
    refused = fanfold.kubectl(
        *("--namespace", NAMESPACE, "run", "bad", "--image=localhost/tester:1"), check=False
    )
    assert 'violates PodSecurity "restricted:v1.36"' in refused


def test_a_rollout_fails_no_request(fanfold: Cluster) -> None:
    with fanfold.asking(GATEWAY, "proxy", URL, seconds=90) as answered:
        fanfold.kubectl(
            *("--namespace", NAMESPACE, "set", "env", "deployment/post-service", "VERSION=2")
        )
        rolled_out(fanfold, "post-service")

    assert answered == ["200"]


def test_a_drained_node_fails_no_request_and_is_empty_then(fanfold: Cluster) -> None:
    node = pods_of(fanfold, "post-service")[0]["spec"]["nodeName"]
    with fanfold.asking(GATEWAY, "proxy", URL, seconds=60) as answered:
        fanfold.kubectl(
            *("drain", node, "--pod-selector=app.kubernetes.io/part-of=fanfold"),
            *("--delete-emptydir-data", "--timeout=240s"),
        )
        left = [
            pod["metadata"]["name"]
            for service in SERVICES
            for pod in pods_of(fanfold, service)
            if pod["spec"].get("nodeName") == node
        ]
        fanfold.kubectl("uncordon", node)

    assert (left, answered) == ([], ["200"])
    for service in SERVICES:
        rolled_out(fanfold, service)


def test_an_unready_pod_leaves_its_service_and_is_not_restarted(fanfold: Cluster) -> None:
    pod = pods_of(fanfold, "graph-service")[0]
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]

    assert fanfold.ask(NAMESPACE, name, "post", f"http://{address}:8080/readyz") == ["503"]

    assert wait_until(
        lambda: address not in serving(fanfold, "graph-service"),
        within_s=WITHIN_S,
        gone=lambda: False,
    )
    assert restarts(fanfold, name) == 0


def serving(cluster: Cluster, service: str) -> set[str]:
    selector = f"kubernetes.io/service-name={service}"
    return {
        address
        for piece in cluster.get(NAMESPACE, "endpointslices", "--selector", selector)
        for endpoint in piece["endpoints"]
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    }


def restarts(cluster: Cluster, pod: str) -> int:
    (found,) = cluster.get(NAMESPACE, f"pod/{pod}")
    return int(found["status"]["containerStatuses"][0]["restartCount"])


def test_a_pod_that_is_not_alive_is_restarted(fanfold: Cluster) -> None:
    pod = pods_of(fanfold, "feed-service")[0]
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]

    fanfold.ask(NAMESPACE, name, "post", f"http://{address}:8080/livez")

    assert wait_until(lambda: restarts(fanfold, name) > 0, within_s=WITHIN_S, gone=lambda: False)
