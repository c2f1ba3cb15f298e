"""Both overlays, validated, admitted and stored by a real kube-apiserver."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.support.k8s import (
    MANIFESTS,
    Object,
    Workload,
    named,
    of_kind,
    rendered,
    workload,
    workloads,
)
from tests.support.kube_apiserver import FORBIDDEN, KubeApi, Refused
from tests.support.strimzi_pods import strimzi_pods


def test_every_object_is_accepted_without_a_warning(
    api: KubeApi, objects: tuple[Object, ...]
) -> None:
    api.apply(yaml.safe_load((MANIFESTS / "cluster/gateway-class.yaml").read_text()))
    warnings = {}
    for manifest in objects:
        api.apply(manifest)
        if api.warnings:
            warnings[f"{manifest['kind']} {manifest['metadata']['name']}"] = api.warnings
    assert warnings == {}


def test_applying_it_again_changes_nothing(api: KubeApi, objects: tuple[Object, ...]) -> None:
    before = [api.apply(manifest) for manifest in objects]
    again = [api.apply(manifest) for manifest in objects]
    assert [applied["metadata"]["resourceVersion"] for applied in again] == [
        applied["metadata"]["resourceVersion"] for applied in before
    ]


MISTAKES = [
    ("Deployment", "post-service", "spec.template.spec.containers.0.livenesProbe", {}, "livenesProbe"),
    ("Deployment", "post-service", "spec.selector.matchLabels", {"a": "b"}, "selector"),
    ("Deployment", "post-service", "spec.template.spec.containers.0.resources.requests.memory", "9Gi", "must be less than"),
    ("NetworkPolicy", "post-service", "spec.ingress.0.ports.0.port", 99999, "port"),
    ("PodDisruptionBudget", "post-service", "spec.minAvailable", 1, "cannot be both set"),
    ("Job", "prepare", "spec.template.spec.restartPolicy", "Always", "restartPolicy"),
    ("KafkaNodePool", "broker", "spec.storage.type", "jbood", "jbood"),
    ("KafkaUser", "post-service-kafka", "spec.authorization.acls.0.operations", ["Wirte"], "Wirte"),
    ("Kafka", "fanfold-kafka", "spec.kafka.metricsConfig", {"type": "jmxPrometheusExporter"}, "valueFrom"),
    ("CassandraDatacenter", "dc1", "spec.serverVersion", "five", "serverVersion"),
    ("CassandraDatacenter", "dc1", "spec.allowMultipleNodesPerWorker", True, "without cpu and memory"),
    ("HTTPRoute", "post-service", "spec.rules.0.matches.0.path.value", "posts", "must be"),
    ("HTTPRoute", "post-service", "spec.rules.0.timeouts.backendRequest", "20s", "backendRequest"),
    ("BackendTrafficPolicy", "fanfold", "spec.responseOverride.0.response.body", {"type": "Inline"}, "inline must be set"),
    ("ClientTrafficPolicy", "fanfold", "spec.timeout.http.idleTimeout", "soon", "idleTimeout"),
    ("ScaledObject", "fanout-service", "spec.pollInterval", 5, "pollInterval"),
    ("Certificate", "fanfold-cassandra-node", "spec.privateKey.encoding", "DER", "DER"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake[0]} {mistake[2]}")
def test_the_server_sees_a_mistake(api: KubeApi, mistake: tuple[str, str, str, Any, str]) -> None:
    kind, name, path, value, says = mistake
    api.apply(named(rendered("prod"), kind, name))
    mistaken = copy.deepcopy(named(rendered("prod"), kind, name))
    *parents, last = path.split(".")
    inside: Any = mistaken
    for key in parents:
        inside = inside[int(key) if isinstance(inside, list) else key]
    inside[last] = value

    with pytest.raises(Refused, match=says):
        api.apply(mistaken, dry_run=True)


def pod_of(resource: Workload, namespace: str) -> Object:
    """The pod that a controller would make."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": resource.name,
            "namespace": namespace,
            "labels": dict(resource.labels),
        },
        "spec": copy.deepcopy(resource.pod),
    }


def namespace_of(objects: tuple[Object, ...]) -> str:
    (namespace,) = of_kind(objects, "Namespace")
    return str(namespace["metadata"]["name"])


def test_every_pod_is_admitted_by_restricted_pod_security(
    api: KubeApi, objects: tuple[Object, ...]
) -> None:
    for resource in workloads(objects):
        admitted = api.create(pod_of(resource, namespace_of(objects)), dry_run=True)
        assert admitted["kind"] == "Pod"


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("container", {"allowPrivilegeEscalation": True}),
        ("container", {"capabilities": {"drop": []}}),
        ("container", {"runAsNonRoot": False}),
        ("container", {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}),
        ("pod", {"seccompProfile": None}),
        ("pod", {"runAsUser": 0}),
    ],
)
def test_a_pod_that_may_more_is_not_admitted(
    api: KubeApi, where: str, what: dict[str, Any]
) -> None:
    pod = pod_of(workload(rendered("prod"), "fanout-service"), "fanfold")
    spec = pod["spec"]
    context = (spec if where == "pod" else spec["containers"][0])["securityContext"]
    context.update(what)

    with pytest.raises(Refused, match="violates PodSecurity") as refused:
        api.create(pod, dry_run=True)
    assert refused.value.status == FORBIDDEN


def test_a_node_of_cassandra_is_admitted_too(api: KubeApi, objects: tuple[Object, ...]) -> None:
    """As far as the datacenter says what its pods are; cass-operator adds the rest."""
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    template = copy.deepcopy(datacenter["spec"]["podTemplateSpec"])
    for container in [*template["spec"]["initContainers"], *template["spec"]["containers"]]:
        container["image"] = "cassandra:5.0.6"
    admitted = api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "cassandra",
                "namespace": namespace_of(objects),
                **template["metadata"],
            },
            "spec": template["spec"],
        },
        dry_run=True,
    )
    assert admitted["kind"] == "Pod"


def test_every_pod_of_strimzi_is_admitted_too(api: KubeApi, objects: tuple[Object, ...]) -> None:
    """As far as the templates say what they are; Strimzi adds volumes and the like."""
    for name, spec in strimzi_pods(objects).items():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name.lower(), "namespace": namespace_of(objects)},
            "spec": spec,
        }
        assert api.create(pod, dry_run=True)["kind"] == "Pod"


def next_version(manifest: Object) -> Object:
    """The same with another version and other settings, as the next release has them."""
    text = yaml.safe_dump(manifest).replace("0.1.0", "0.2.0")
    found: Object = yaml.safe_load(text.replace("fanfold-settings-", "fanfold-settings-next-"))
    return found


def test_the_next_version_can_be_applied_over_this_one(
    api: KubeApi, objects: tuple[Object, ...]
) -> None:
    """No field is touched that can't be changed; but a Job can't be at all, so it goes first, as the script has it."""
    for manifest in objects:
        api.apply(manifest)
    for manifest in objects:
        if manifest["kind"] == "Job":
            with pytest.raises(Refused, match="immutable"):
                api.apply(next_version(manifest), dry_run=True)
            api.delete(manifest)
        api.apply(next_version(manifest), dry_run=manifest["kind"] != "Job")
        if manifest["kind"] == "Job":
            api.delete(manifest)
