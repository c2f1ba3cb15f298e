"""What no schema sees in the pods: that a probe's port exists, that names lead somewhere, that limits and times fit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import click
import pytest
import typer

from fanfold.adapters.kafka import producer
from fanfold.core.settings import Settings
from fanfold.http import app as http_app
from fanfold.http import server
from fanfold.ops import command_line
from fanout_service import stream
from tests.support.k8s import (
    MANIFESTS,
    OVERLAYS,
    SERVICES,
    Object,
    Workload,
    environment,
    named,
    of_kind,
    quantity,
    references,
    rendered,
    workload,
    workloads,
)
from tests.support.k8s_schemas import ROOT
from tests.support.k8s_secrets import provided_secrets
from tests.support.strimzi_pods import strimzi_pods

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Workload, Object]]:
    for resource in workloads(objects):
        for container in resource.containers:
            yield f"{resource}/{container['name']}", resource, container


def test_each_service_has_everything_that_a_service_has(objects: tuple[Object, ...]) -> None:
    for service in SERVICES:
        kind = "StatefulSet" if service == "fanout-service" else "Deployment"
        for wanted in (kind, "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
            named(objects, wanted, service)
        resource = workload(objects, service)
        (container,) = resource.containers
        assert [probe for probe in PROBES if probe not in container] == []
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] > 0
        assert resource.pod["serviceAccountName"] == service
        assert {spread["topologyKey"] for spread in resource.pod["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }


def test_every_pod_is_what_restricted_pod_security_asks_for(objects: tuple[Object, ...]) -> None:
    for name, resource, container in containers(objects):
        assert resource.pod["securityContext"]["runAsNonRoot"] is True, name
        assert resource.pod["securityContext"]["runAsUser"] > 0, name
        assert resource.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert context["readOnlyRootFilesystem"] is True, name


def test_every_pod_that_strimzi_makes_is_that_too(objects: tuple[Object, ...]) -> None:
    for name, pod in strimzi_pods(objects).items():
        assert pod["securityContext"].get("runAsNonRoot") is True, name
        assert pod["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"}, name
        for container in [*pod["initContainers"], *pod["containers"]]:
            context = container["securityContext"]
            assert context.get("allowPrivilegeEscalation") is False, (name, container)
            assert context.get("capabilities") == {"drop": ["ALL"]}, (name, container)


def test_the_namespace_enforces_restricted_pod_security_of_a_pinned_version(
    objects: tuple[Object, ...],
) -> None:
    (namespace,) = of_kind(objects, "Namespace")
    labels = namespace["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert re.fullmatch(r"v1\.\d+", labels[f"pod-security.kubernetes.io/{mode}-version"])


def test_only_pods_that_call_the_api_server_have_a_token_for_it(
    objects: tuple[Object, ...],
) -> None:
    with_token = {
        resource.name
        for resource in workloads(objects)
        if resource.pod["automountServiceAccountToken"]
    }
    bound = {
        subject["name"]
        for binding in of_kind(objects, "RoleBinding")
        for subject in binding["subjects"]
    }
    assert with_token == bound == {"cassandra-backup"}
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_probe_and_service_names_a_port_that_exists(objects: tuple[Object, ...]) -> None:
    for name, _, container in containers(objects):
        ports = {port["name"] for port in container.get("ports", ())}
        for probe in PROBES:
            if probe in container and not _asks_the_cache(container, probe):
                assert container[probe]["httpGet"]["port"] in ports, f"{name} {probe}"
    for service in of_kind(objects, "Service"):
        (target,) = (
            resource
            for resource in workloads(objects)
            if service["spec"]["selector"].items() <= resource.labels.items()
        )
        exposed = {p["name"] for container in target.containers for p in container.get("ports", ())}
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= exposed


def _asks_the_cache(container: Object, probe: str) -> bool:
    """It doesn't speak HTTP. tests/deploy/test_k8s_cache.py runs the command of the probe."""
    return container["name"] == "valkey" and "exec" in container[probe]


def test_a_service_is_probed_at_the_paths_that_it_serves(objects: tuple[Object, ...]) -> None:
    served = {"/livez", "/readyz"}
    assert served <= _operations()
    for service in SERVICES:
        (container,) = workload(objects, service).containers
        paths = {probe: container[probe]["httpGet"]["path"] for probe in PROBES}
        # What asks the engines must never restart a service: an outage of one would restart them all.
        assert paths == {
            "startupProbe": "/livez",
            "readinessProbe": "/readyz",
            "livenessProbe": "/livez",
        }
        settings = environment(objects, container)
        assert {p["name"]: str(p["containerPort"]) for p in container["ports"]} == {
            "http": settings["FANFOLD_PORT"],
            "metrics": settings["FANFOLD_METRICS_PORT"],
        }


def _operations() -> set[str]:
    async def ready() -> None: ...

    return set(http_app.make_app(title="x", routers=[], ready=ready).openapi()["paths"])


def test_a_readiness_probe_waits_longer_than_the_service_asks_its_engines(
    objects: tuple[Object, ...],
) -> None:
    for service in SERVICES:
        (container,) = workload(objects, service).containers
        settings = _settings(objects, container)
        asked_s = max(settings.request_timeout_s * 0.8, settings.cassandra_timeout_s)
        assert container["readinessProbe"]["timeoutSeconds"] > asked_s


def test_the_grace_is_longer_than_the_drain(objects: tuple[Object, ...]) -> None:
    drain_s = server.LAST_REQUESTS_S + http_app._STOP_GRACE_S + producer._STOP_S
    for service in SERVICES:
        resource = workload(objects, service)
        (container,) = resource.containers
        own_s = stream._STOP_S if service == "fanout-service" else 0
        before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert resource.pod["terminationGracePeriodSeconds"] > before_s + drain_s + own_s, service


def test_requests_are_made_and_limits_are_not_below_them(objects: tuple[Object, ...]) -> None:
    for name, _, container in containers(objects):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= requests.keys(), name
        assert {"memory", "ephemeral-storage"} <= limits.keys(), name
        for resource, limit in limits.items():
            assert quantity(requests[resource]) <= quantity(limit), f"{name} {resource}"


def test_a_java_heap_fits_into_its_memory(objects: tuple[Object, ...]) -> None:
    for pool in of_kind(objects, "KafkaNodePool"):
        spec = pool["spec"]
        if heap := spec.get("jvmOptions", {}).get("-Xmx"):
            memory = quantity(spec["resources"]["limits"]["memory"])
            assert quantity(heap.upper() + "i") * 2 <= memory, pool["metadata"]["name"]
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    heap = datacenter["spec"]["config"]["jvm-server-options"]["max_heap_size"]
    assert quantity(heap + "i") * 2 <= quantity(datacenter["spec"]["resources"]["limits"]["memory"])


def test_every_environment_name_of_ours_is_a_setting(objects: tuple[Object, ...]) -> None:
    known = {f"FANFOLD_{name.upper()}" for name in Settings.model_fields}
    for name, resource, container in containers(objects):
        if resource.is_ours:
            assert environment(objects, container).keys() <= known, name


def test_every_container_of_ours_starts_with_settings_that_are_whole(
    objects: tuple[Object, ...],
) -> None:
    for name, resource, container in containers(objects):
        if resource.is_ours:
            settings = _settings(objects, container)
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            files = [
                settings.kafka_ca,
                settings.kafka_cert,
                settings.kafka_key,
                settings.cassandra_ca,
            ]
            if settings.cache != "none":
                files.append(settings.cache_ca)
                assert settings.cache_user is not None, name
            assert {str(file.parent) for file in files if file} <= mounted, name
            assert None not in files, name
            assert settings.cassandra_user is not None, name


def _settings(objects: tuple[Object, ...], container: Object) -> Settings:
    given = environment(objects, container)
    values: dict[str, Any] = {
        key.removeprefix("FANFOLD_").lower(): value for key, value in given.items()
    }
    return Settings(**values)


def test_every_container_of_ours_runs_a_command_that_exists(
    objects: tuple[Object, ...],
) -> None:
    for name, resource, container in containers(objects):
        if resource.is_ours:
            # The image's entry point is `fanfold`.
            assert "command" not in container, name
            command: Any = typer.main.get_command(command_line.app)
            arguments = list(container["args"])
            while isinstance(command, click.Group):
                command = command.commands[arguments.pop(0)]
            command.make_context(name, arguments)


def test_every_secret_and_every_key_that_is_used_is_provided(objects: tuple[Object, ...]) -> None:
    secrets = provided_secrets(objects)
    maps = {
        config_map["metadata"]["name"]: config_map.get("data", {}).keys()
        for config_map in of_kind(objects, "ConfigMap")
    }
    for kind, name, key in references(objects):
        provided = secrets if kind == "Secret" else maps
        assert name in provided, f"{kind} {name}"
        assert key is None or key in provided[name], f"{kind} {name}: {key}"


def test_every_volume_that_is_mounted_is_there_and_none_is_left_over(
    objects: tuple[Object, ...],
) -> None:
    for resource in workloads(objects):
        # Labels in a claim's template change with the version, and the template can't.
        assert "volumeClaimTemplates" not in resource.spec
        volumes = {volume["name"] for volume in resource.pod["volumes"]}
        mounted = {
            mount["name"]
            for container in resource.containers
            for mount in container["volumeMounts"]
        }
        assert mounted == volumes, str(resource)


def test_a_private_key_is_read_by_nobody_else(objects: tuple[Object, ...]) -> None:
    for resource in workloads(objects):
        for volume in resource.pod["volumes"]:
            keys = {item["key"] for item in volume.get("secret", {}).get("items", ())}
            if keys & {"user.key", "tls.key"}:
                assert volume["secret"]["defaultMode"] == 0o440, str(resource)
                assert resource.pod["securityContext"]["fsGroup"] > 0, str(resource)


def test_images_labels_and_the_package_are_of_one_version(objects: tuple[Object, ...]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, resource, container in containers(objects):
        reference, _, digest = container["image"].partition("@")
        image, _, tag = reference.rpartition(":")
        if image.endswith("fanfold/fanfold"):
            assert tag == version, name
            assert resource.labels["app.kubernetes.io/version"] == version, name
        # Pinned: what runs today is what runs tomorrow.
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), name
        assert image.endswith("fanfold/fanfold") or re.fullmatch(r"sha256:[0-9a-f]{64}", digest), (
            name
        )
        assert container["imagePullPolicy"] == "IfNotPresent", name


def test_what_an_autoscaler_owns_is_not_set_by_an_apply() -> None:
    objects = rendered("prod")
    owners = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    targets = [
        (owner["spec"]["scaleTargetRef"]["kind"], owner["spec"]["scaleTargetRef"]["name"])
        for owner in owners
    ]
    # One owner each: two would fight.
    assert sorted(name for _, name in targets) == sorted(SERVICES)
    for kind, name in targets:
        assert "replicas" not in named(objects, kind, name)["spec"]
    for autoscaler in of_kind(objects, "HorizontalPodAutoscaler"):
        assert autoscaler["spec"]["minReplicas"] >= 3


def test_a_rollout_of_an_api_never_takes_one_away_before_another_is_ready(
    objects: tuple[Object, ...],
) -> None:
    for resource in workloads(objects):
        if resource.kind == "Deployment" and resource.is_service:
            assert resource.spec["strategy"]["rollingUpdate"] == {
                "maxSurge": 1,
                "maxUnavailable": 0,
            }
            assert resource.spec["minReadySeconds"] > 0


def test_a_job_is_safe_to_repeat_and_ends(objects: tuple[Object, ...]) -> None:
    prepare = workload(objects, "prepare")
    assert prepare.spec["ttlSecondsAfterFinished"] > 0
    assert prepare.spec["activeDeadlineSeconds"] > 0
    steps = [container["args"][:2] for container in prepare.containers]
    assert steps == [["schema", "migrate"], ["schema", "grant"], ["topics", "apply"]]
    for cron_job in of_kind(objects, "CronJob"):
        assert cron_job["spec"]["concurrencyPolicy"] == "Forbid"
        assert cron_job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0


def test_the_manifests_name_the_kubernetes_that_they_are_checked_against() -> None:
    versions = (MANIFESTS / "versions.env").read_text()
    minor = re.search(r"^KUBERNETES=(1\.\d+)\.", versions, re.MULTILINE)
    (namespace,) = of_kind(rendered("prod"), "Namespace")
    assert minor
    assert (
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce-version"]
        == f"v{minor[1]}"
    )
