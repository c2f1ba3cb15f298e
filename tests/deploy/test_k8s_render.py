"""Every overlay renders, and every object in it is one that Kubernetes or an operator describes."""

from __future__ import annotations

import copy
import itertools
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from fanfold.core.tracing_settings import TracingSettings
from fanfold.ops.command_line import app
from tests.support.k8s import (
    MANIFESTS,
    OVERLAYS,
    SERVICES,
    Object,
    build,
    environment,
    named,
    of_kind,
    rendered,
    selects,
    workload,
)
from tests.support.k8s_schemas import ROOT, errors_of
from tests.support.k8s_secrets import made_by_script

COMPONENTS = ("cassandra", "gateway", "kafka-strimzi", "keda", "monitoring", "release", "valkey")
VARIANTS = (
    "console",
    "dns-node-local",
    "external-secrets",
    "kafka-cruise-control",
    "openshift",
    "audit",
    "snapshots",
    "traces",
)
"""Components that change what others bring, or replace a script."""
CLUSTER_SCOPED = {"Namespace"}


def test_a_digest_in_the_overlay_reaches_every_container_of_ours(tmp_path: Path) -> None:
    manifests = shutil.copytree(MANIFESTS, tmp_path / "k8s")
    overlay = manifests / "overlays" / "prod" / "kustomization.yaml"
    name, digest = "  newName: registry.example.com/fanfold/fanfold\n", f"sha256:{'a' * 64}"
    assert name in overlay.read_text()
    overlay.write_text(overlay.read_text().replace(name, f"{name}  digest: {digest}\n"))
    images = re.findall("image: (.*fanfold/fanfold.*)", yaml.safe_dump_all(build(overlay.parent)))
    assert len(images) > 5
    assert set(images) == {f"registry.example.com/fanfold/fanfold@{digest}"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid_by_the_schema_of_its_kind(overlay: str) -> None:
    assert {
        f"{manifest['kind']} {manifest['metadata']['name']}": errors
        for manifest in rendered(overlay)
        if (errors := errors_of(manifest))
    } == {}


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "post-service", ("spec", "strategy", "rollingUpdate", "maxSurgeX"), 1),
        ("Job", "prepare", ("spec", "backoffLimit"), "many"),
        ("Kafka", "fanfold-kafka", ("spec", "kafka", "listener"), []),
        ("KafkaNodePool", "broker", ("spec", "storage", "type"), "jbood"),
        ("KafkaUser", "post-service-kafka", ("spec", "authentication", "typ"), "tls"),
        ("CassandraDatacenter", "dc1", ("spec", "size"), "three"),
        ("Certificate", "fanfold-cassandra-node", ("spec", "secretNames"), "x"),
        ("HTTPRoute", "post-service", ("spec", "rule"), []),
        ("BackendTrafficPolicy", "fanfold", ("spec", "retry", "numRetry"), 3),
        ("ScaledObject", "fanout-service", ("spec", "pollInterval"), 5),
        ("PrometheusRule", "fanfold", ("spec", "group"), []),
        ("ServiceMonitor", "fanfold", ("spec", "endpoint"), []),
    ],
)
def test_a_mistake_in_any_kind_is_seen(
    kind: str, name: str, path: tuple[str, ...], value: Any
) -> None:
    mistaken = copy.deepcopy(named(rendered("prod"), kind, name))
    inside = mistaken
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value

    assert errors_of(mistaken)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_one_namespace_and_nothing_is_there_twice(overlay: str) -> None:
    objects = rendered(overlay)
    (namespace,) = (namespace["metadata"]["name"] for namespace in of_kind(objects, "Namespace"))

    assert {
        manifest["metadata"]["namespace"]
        for manifest in objects
        if manifest["kind"] not in CLUSTER_SCOPED
    } == {namespace}
    names = Counter((manifest["kind"], manifest["metadata"]["name"]) for manifest in objects)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    "components",
    [
        (),
        *((component,) for component in COMPONENTS),
        *itertools.combinations(COMPONENTS, len(COMPONENTS) - 1),
        *((*COMPONENTS, variant) for variant in VARIANTS),
    ],
    ids="+".join,
)
def test_any_choice_of_components_renders(components: tuple[str, ...], tmp_path: Path) -> None:
    objects = chosen(components, tmp_path)

    assert {
        manifest["kind"]: errors for manifest in objects if (errors := errors_of(manifest))
    } == {}
    assert len(of_kind(objects, "Deployment")) == 3 + len({"audit", "console"} & {*components})


def chosen(components: tuple[str, ...], directory: Path) -> tuple[Object, ...]:
    """The base with these components."""
    lines = ["resources:", f"- {_from(directory, 'base')}"]
    if components:
        lines += ["components:", *(f"- {_from(directory, f'components/{c}')}" for c in components)]
    (directory / "kustomization.yaml").write_text("\n".join(lines))
    return build(directory)


def test_every_component_of_the_repository_is_tried() -> None:
    tried = {*COMPONENTS, *VARIANTS, "managed-cache"}
    assert {path.name for path in (MANIFESTS / "components").iterdir()} == tried


def test_names_are_asked_of_the_node_where_it_has_a_cache(tmp_path: Path) -> None:
    policy = named(chosen(("dns-node-local",), tmp_path), "NetworkPolicy", "allow-dns")["spec"]
    (rule,) = policy["egress"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]
    # The pods of the cluster's DNS too: the cache is not on every node.
    usual = named(rendered("prod"), "NetworkPolicy", "allow-dns")["spec"]["egress"][0]
    assert [peer for peer in usual["to"] if peer not in rule["to"]] == []
    assert rule["ports"] == usual["ports"]


def test_on_openshift_names_are_asked_of_its_dns_and_the_images_keep_their_users(
    tmp_path: Path,
) -> None:
    objects = chosen(("openshift",), tmp_path)
    (rule,) = named(objects, "NetworkPolicy", "allow-dns")["spec"]["egress"]
    assert {port["port"] for port in rule["ports"]} == {5353}
    assert "openshift-dns" in str(rule["to"])
    (subject,) = named(objects, "RoleBinding", "fanfold-own-user-ids")["subjects"]
    (namespace,) = of_kind(objects, "Namespace")
    assert subject["name"] == f"system:serviceaccounts:{namespace['metadata']['name']}"


def test_a_store_gives_the_secrets_that_the_script_would_make(tmp_path: Path) -> None:
    made = of_kind(chosen(("external-secrets",), tmp_path), "ExternalSecret")
    assert {found["spec"]["target"]["name"] for found in made} == set(made_by_script())
    for found in made:
        name = found["metadata"]["name"]
        assert found["spec"]["target"]["name"] == name
        assert found["spec"]["dataFrom"] == [{"extract": {"key": f"fanfold/{name}"}}]


def test_a_snapshot_is_made_daily_by_a_command_that_exists(tmp_path: Path) -> None:
    objects = chosen(("snapshots",), tmp_path)
    job = named(objects, "CronJob", "event-snapshot")["spec"]
    pod = job["jobTemplate"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    arguments = [*container["args"], "--help"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    directory = container["args"][container["args"].index("--into") + 1]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    claim = volumes[mounts[str(Path(directory).parent)]]["persistentVolumeClaim"]["claimName"]
    assert named(objects, "PersistentVolumeClaim", claim)
    policy = named(objects, "NetworkPolicy", "event-snapshot")["spec"]
    assert selects(policy["podSelector"], pod["metadata"]["labels"])


def test_traces_go_where_the_policy_lets_the_services_go(tmp_path: Path) -> None:
    objects = chosen(("traces",), tmp_path)
    policy = named(objects, "NetworkPolicy", "traced-services")["spec"]
    ((peer,), (port,)) = (policy["egress"][0][key] for key in ("to", "ports"))
    for service in SERVICES:
        resource = workload(objects, service)
        assert selects(policy["podSelector"], resource.labels)
        given = {
            name.removeprefix("OTEL_").lower(): value
            for name, value in environment(objects, resource.containers[0]).items()
            if name.startswith("OTEL_")
        }
        assert TracingSettings.model_validate(given).exporter == "otlp"
        collector = urlsplit(given["exporter_otlp_endpoint"])
        assert collector.port == port["port"]
        namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        assert (collector.hostname or "").endswith(f".{namespace}")
        # One that does not follow what a client asks for.
        assert not given["traces_sampler"].startswith("parentbased")


def test_the_class_of_the_gateway_is_valid_and_the_one_that_is_used() -> None:
    gateway_class = yaml.safe_load((MANIFESTS / "cluster" / "gateway-class.yaml").read_text())

    assert errors_of(gateway_class) == []
    assert (
        named(rendered("prod"), "Gateway", "fanfold")["spec"]["gatewayClassName"]
        == (gateway_class["metadata"]["name"])
    )


def _from(directory: Path, what: str) -> str:
    # kustomize takes relative paths only.
    up = "../" * (len(directory.resolve().parts) - 1)
    return f"{up}{(MANIFESTS / what).resolve().relative_to('/')}"


def test_kustomize_is_the_one_that_kubectl_could_be() -> None:
    """Nothing in the manifests needs the pinned kustomize: no plugins, no Helm, no remote resources."""
    for path in MANIFESTS.rglob("kustomization.yaml"):
        text = path.read_text()
        assert not [
            word for word in ("helmCharts", "generators:", "transformers:", "://") if word in text
        ], path.relative_to(ROOT)
        for replacement in yaml.safe_load(text).get("replacements", ()):
            for target in replacement["targets"]:
                # An older kustomize takes no pattern, and replaces nothing.
                assert re.fullmatch(r"[a-z-]+", target["select"]["name"]), path.relative_to(ROOT)
