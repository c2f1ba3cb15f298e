"""Our CassandraDatacenter under a real cass-operator: what its webhook refuses, and the pods that it makes. No image of Cassandra is here, so none runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.k8s import Object, named, of_kind, rendered
from tests.support.k8s_cass_operator import MANIFESTS, running_cass_operator, tls_secret
from tests.support.k8s_cluster import NAMESPACE, Cluster
from tests.support.k8s_secrets import made_by_script
from tests.support.probes import wait_until

pytestmark = pytest.mark.skipif(
    not MANIFESTS.exists(),
    reason="no cass-operator: make k8s-verify CASS_OPERATOR_SOURCE=path, a checkout of its repository",
)
CLUSTER = "fanfold-cassandra"
NODE = "cassandra.datastax.com/datacenter"
WITHIN_S = 180.0


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With the namespace of production, and the Secrets that scripts and cert-manager make."""
    directory: Path = tmp_path_factory.mktemp("cass-operator")
    with running_cass_operator(cluster, directory):
        cluster.apply(of_kind(rendered("prod"), "Namespace"))
        cluster.apply(_secrets(directory))
        try:
            yield cluster
        finally:
            for datacenter in cluster.get(NAMESPACE, "cassandradatacenters"):
                # Its nodes never ran, so there is nothing that a finalizer could wait for.
                name = f"cassandradatacenter/{datacenter['metadata']['name']}"
                unfinished = json.dumps({"metadata": {"finalizers": None}})
                cluster.kubectl("--namespace", NAMESPACE, "delete", name, "--wait=false")
                cluster.kubectl(
                    *("--namespace", NAMESPACE, "patch", name, "--type=merge", "-p", unfinished),
                    check=False,
                )
            cluster.kubectl("delete", "namespace", NAMESPACE)


def _secrets(directory: Path) -> list[Object]:
    authority = Authority(directory / "nodes", name="the nodes'")
    identity = authority.identity("node")
    passwords = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": dict.fromkeys(keys, name),
        }
        for name, keys in made_by_script().items()
    ]
    certificates = [
        tls_secret(name, NAMESPACE, authority.ca, identity.cert, identity.key)
        for name in (
            f"{CLUSTER}-{part}" for part in ("node", "management-server", "management-client")
        )
    ]
    return passwords + certificates


def tried(cluster: Cluster, datacenter: Object) -> str:
    """What the server says to it; nothing is kept."""
    datacenter["metadata"]["namespace"] = NAMESPACE
    return cluster.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--filename", "-"),
        given=json.dumps(datacenter),
        check=False,
    )


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_the_webhook_takes_both_overlays(operator: Cluster, overlay: str) -> None:
    datacenter = copy.deepcopy(named(rendered(overlay), "CassandraDatacenter", "dc1"))
    assert "serverside-applied" in tried(operator, datacenter)


def test_the_webhook_refuses_several_nodes_on_a_worker_without_a_limit_of_cpu(
    operator: Cluster,
) -> None:
    datacenter = copy.deepcopy(named(rendered("dev"), "CassandraDatacenter", "dc1"))
    assert datacenter["spec"]["allowMultipleNodesPerWorker"]
    del datacenter["spec"]["resources"]["limits"]["cpu"]
    assert "denied the request" in tried(operator, datacenter)


@pytest.fixture(scope="module")
def nodes(operator: Cluster) -> list[Object]:
    """The pods of the datacenter of production."""
    operator.apply([named(rendered("prod"), "CassandraDatacenter", "dc1")])
    assert wait_until(
        lambda: len(pods_of(operator, "dc1")) == 3, within_s=WITHIN_S, gone=lambda: False
    ), operator.kubectl("--namespace", NAMESPACE, "get", "events,statefulsets")
    return pods_of(operator, "dc1")


def pods_of(cluster: Cluster, datacenter: str) -> list[Object]:
    return cluster.get(NAMESPACE, "pods", "--selector", f"{NODE}={datacenter}")


def test_pod_security_admits_a_node_of_each_rack_in_its_zone(nodes: list[Object]) -> None:
    placed = {
        pod["metadata"]["labels"]["cassandra.datastax.com/rack"]: str(pod["spec"]["affinity"])
        for pod in nodes
    }
    assert {rack: [zone for zone in ("zone-a", "zone-b", "zone-c") if zone in affinity]
            for rack, affinity in placed.items()} == {
        "r1": ["zone-a"], "r2": ["zone-b"], "r3": ["zone-c"],
    }  # fmt: skip


def test_pod_security_refuses_nodes_without_our_security_contexts(
    operator: Cluster, nodes: list[Object]
) -> None:
    bare = copy.deepcopy(named(rendered("prod"), "CassandraDatacenter", "dc1"))
    bare["metadata"]["name"] = "bare"
    pod = bare["spec"]["podTemplateSpec"]["spec"]
    for holder in (pod, *pod["initContainers"], *pod["containers"]):
        del holder["securityContext"]
    operator.apply([bare])

    def refused() -> bool:
        events = operator.get(NAMESPACE, "events", "--field-selector", "reason=FailedCreate")
        return any(
            "bare" in event["message"]
            and 'violates PodSecurity "restricted:v1.36"' in event["message"]
            for event in events
        )

    assert wait_until(refused, within_s=WITHIN_S, gone=lambda: False)
    assert pods_of(operator, "bare") == []


def test_what_other_manifests_name_is_there(operator: Cluster, nodes: list[Object]) -> None:
    (policy,) = (
        found
        for found in of_kind(rendered("prod"), "NetworkPolicy")
        if found["metadata"]["name"] == CLUSTER
    )
    selected = policy["spec"]["podSelector"]["matchLabels"].items()
    for pod in nodes:
        assert selected <= pod["metadata"]["labels"].items()
        (cassandra,) = (
            found for found in pod["spec"]["containers"] if found["name"] == "cassandra"
        )
        assert {9042, 8080, 7001, 9000} <= {port["containerPort"] for port in cassandra["ports"]}
        assert "/etc/fanfold/node" in {mount["mountPath"] for mount in cassandra["volumeMounts"]}
    services = {found["metadata"]["name"]: found for found in operator.get(NAMESPACE, "services")}
    ports = services[f"{CLUSTER}-dc1-service"]["spec"]["ports"]
    assert 9042 in {port["port"] for port in ports}
    (superuser,) = operator.get(NAMESPACE, f"secret/{CLUSTER}-superuser")
    assert superuser["data"].keys() == {"username", "password"}


def test_the_configuration_reaches_a_node(nodes: list[Object]) -> None:
    """As the container that writes the files gets it."""
    ours = named(rendered("prod"), "CassandraDatacenter", "dc1")["spec"]["config"]
    for pod in nodes:
        (data,) = {
            variable["value"]
            for container in pod["spec"]["initContainers"]
            for variable in container.get("env", ())
            if variable["name"] == "CONFIG_FILE_DATA"
        }
        given = json.loads(data)
        assert ours["cassandra-yaml"].items() <= given["cassandra-yaml"].items()
        assert ours["jvm-server-options"].items() <= given["jvm-server-options"].items()
