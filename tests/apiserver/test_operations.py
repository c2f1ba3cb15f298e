"""What runs against a cluster, against a real kube-apiserver: the nightly backup, and the scripts.

Where a controller would do something, the test does it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.support.k8s import (
    MANIFESTS,
    OVERLAYS,
    Object,
    environment,
    named,
    of_kind,
    rendered,
    workload,
)
from tests.support.k8s_scripts import run_script
from tests.support.k8s_secrets import made_by_script
from tests.support.kube_apiserver import FORBIDDEN, KubeApi, Refused

NAMESPACE = "fanfold"
LOOK_EVERY_S = 0.2


def backup_program() -> ModuleType:
    """As it is mounted into its pod."""
    path = MANIFESTS / "components/cassandra/backup.py"
    spec = importlib.util.spec_from_file_location("backup", path)
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    vars(program)["LOOK_AGAIN_S"] = LOOK_EVERY_S
    return program


def account_token(api: KubeApi, account: str) -> str:
    """What the pods of an account are given."""
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        api.apply(named(rendered("prod"), kind, account))
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
    return str(api.call("POST", path, request)["status"]["token"])


def a_claim(name: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def a_snapshot(name: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"source": {"persistentVolumeClaimName": "any"}},
    }


def snapshots(api: KubeApi) -> dict[str, Object]:
    path = f"/apis/snapshot.storage.k8s.io/v1/namespaces/{NAMESPACE}/volumesnapshots"
    return {snapshot["metadata"]["name"]: snapshot for snapshot in api.call("GET", path)["items"]}


@contextmanager
def meanwhile(step: Any) -> Iterator[None]:
    """Do this again and again in the background, as a controller does."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(LOOK_EVERY_S):
            step()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def volumes(api: KubeApi) -> Iterator[list[str]]:
    """Two nodes' volumes, and one of somebody else."""
    arguments = _backup_arguments()
    key, value = arguments["volumes"].split("=")
    names = [f"server-data-fanfold-cassandra-dc1-r{n}-sts-0" for n in (1, 2)]
    claims = [a_claim(name, {key: value}) for name in names]
    claims.append(a_claim("somebody-elses", {key: "other"}))
    for claim in claims:
        api.apply(claim)
    yield names
    for claim in claims:
        api.delete(claim)
    for name in snapshots(api):
        api.delete(a_snapshot(name, {}))


def _backup_arguments() -> dict[str, str]:
    (container,) = workload(rendered("prod"), "cassandra-backup").containers
    return dict(argument.removeprefix("--").split("=", 1) for argument in container["command"][2:])


def cluster_of(program: ModuleType, api: KubeApi, account: str) -> Any:
    return program.Cluster(
        api.url, token=account_token(api, account), ca=api.ca, namespace=NAMESPACE
    )


def test_a_backup_snapshots_every_node_and_forgets_the_old_ones(
    api: KubeApi, volumes: list[str]
) -> None:
    program = backup_program()
    for name, at in (("old", "20200101-0310"), ("recent", f"{datetime.now(UTC):%Y%m%d}-0000")):
        api.apply(a_snapshot(name, {program.MADE_BY: at}))
    api.apply(a_snapshot("somebody-elses", {}))

    def driver() -> None:
        for snapshot in snapshots(api).values():
            if "status" not in snapshot:
                api.set_status(snapshot, {"readyToUse": True})

    with meanwhile(driver):
        lines = program.back_up(
            cluster_of(program, api, "cassandra-backup"),
            volumes=_backup_arguments()["volumes"],
            keep_days=int(_backup_arguments()["keep-days"]),
            ready_within_s=60,
        )

    made = {name for name in snapshots(api) if name.startswith("server-data-")}
    assert {name.rsplit("-", 2)[0] for name in made} == set(volumes)
    assert snapshots(api).keys() - made == {"recent", "somebody-elses"}
    assert lines == [*(f"made {name}" for name in sorted(made)), "deleted old"]


def test_a_backup_that_is_not_usable_in_time_fails_and_forgets_nothing(
    api: KubeApi, volumes: list[str]
) -> None:
    program = backup_program()
    api.apply(a_snapshot("old", {program.MADE_BY: "20200101-0310"}))

    with pytest.raises(SystemExit, match="not usable after 0 s"):
        program.back_up(
            cluster_of(program, api, "cassandra-backup"),
            volumes=_backup_arguments()["volumes"],
            keep_days=14,
            ready_within_s=0,
        )

    assert "old" in snapshots(api)


def test_a_backup_of_nothing_fails(api: KubeApi) -> None:
    program = backup_program()
    with pytest.raises(SystemExit, match="nothing is backed up"):
        program.back_up(
            cluster_of(program, api, "cassandra-backup"),
            volumes="there=are-none",
            keep_days=14,
            ready_within_s=0,
        )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/any"),
        ("GET", "/api/v1/persistentvolumeclaims"),
    ],
)
def test_the_backup_account_may_do_nothing_else(api: KubeApi, method: str, path: str) -> None:
    account = KubeApi(api.url, ca=api.ca, token=account_token(api, "cassandra-backup"))
    with pytest.raises(Refused) as refused:
        account.call(method, path)
    assert refused.value.status == FORBIDDEN


def run(script: str, *arguments: str, kubectl: str) -> str:
    ran = run_script(script, *arguments, kubectl=kubectl)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_secrets_are_made_once_and_kept(api: KubeApi, kubectl: str) -> None:
    run("k8s_secrets", NAMESPACE, kubectl=kubectl)
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    first = {
        secret["metadata"]["name"]: secret["data"] for secret in api.call("GET", path)["items"]
    }
    assert {name: set(first[name]) for name in made_by_script()} == made_by_script()

    run("k8s_secrets", NAMESPACE, kubectl=kubectl)

    again = {
        secret["metadata"]["name"]: secret["data"] for secret in api.call("GET", path)["items"]
    }
    assert again == first


def test_a_rollout_goes_through_and_can_be_repeated(api: KubeApi, kubectl: str) -> None:
    served_before_prepared: list[str] = []
    objects = rendered("prod")
    job = named(objects, "Job", "prepare")
    services = [
        service
        for service in of_kind(objects, "Deployment", "StatefulSet")
        if service["metadata"].get("labels", {}).get("fanfold.io/stage") == "serve"
    ]
    prepared = threading.Event()
    # As in a cluster that has never had them.
    for manifest in (job, *services):
        with contextlib.suppress(Refused):
            api.delete(manifest)

    def controllers() -> None:
        for engine in of_kind(objects, "Kafka", "CassandraDatacenter"):
            _where_it_is(api, engine, lambda _: {"conditions": [_condition("Ready")]})
        if _where_it_is(api, job, _completed):
            prepared.set()
        for service in services:
            found = _where_it_is(api, service, _rolled_out)
            if found and not prepared.is_set():
                served_before_prepared.append(service["metadata"]["name"])

    with meanwhile(controllers):
        for _ in range(2):
            run("k8s_rollout", str(MANIFESTS / "overlays/prod"), kubectl=kubectl)

    assert served_before_prepared == []
    for manifest in objects:
        api.get(manifest)


def _where_it_is(api: KubeApi, document: Object, status: Any) -> bool:
    """Set the status of an object, if it is there."""
    try:
        api.set_status(document, status(api.get(document)))
    except Refused:
        return False
    return True


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _condition(kind: str) -> Object:
    return {
        "type": kind,
        "status": "True",
        "lastTransitionTime": _now(),
        "reason": "Test",
        "message": "",
    }


def _completed(found: Object) -> Object:
    started = found.get("status", {}).get("startTime", _now())
    if found.get("status", {}).get("conditions"):
        return dict(found["status"])
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": _now()}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    return {
        "startTime": started,
        "completionTime": _now(),
        "succeeded": 1,
        "uncountedTerminatedPods": {},
        "conditions": conditions,
    }


def _rolled_out(found: Object) -> Object:
    replicas = found["spec"].get("replicas", 1)
    counts = dict.fromkeys(
        ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas
    )
    status = {"observedGeneration": found["metadata"]["generation"], **counts}
    if found["kind"] == "StatefulSet":
        status |= {"currentRevision": "one", "updateRevision": "one", "currentReplicas": replicas}
    return status


def a_user_secret(name: str, certificate: str) -> Object:
    """As Strimzi makes it of a KafkaUser."""
    labels = {"strimzi.io/kind": "KafkaUser", "strimzi.io/cluster": "fanfold-kafka"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "stringData": {"user.crt": certificate},
    }


def test_a_new_ca_of_the_clients_restarts_services_when_all_have_their_certificates(
    api: KubeApi, kubectl: str
) -> None:
    objects = rendered("prod")
    kafka = named(objects, "Kafka", "fanfold-kafka")
    services = [
        found
        for found in of_kind(objects, "Deployment", "StatefulSet")
        if found["metadata"].get("labels", {}).get("fanfold.io/stage") == "serve"
    ]
    users = [found["metadata"]["name"] for found in of_kind(objects, "KafkaUser")]
    authority = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "fanfold-kafka-clients-ca", "namespace": NAMESPACE},
    }
    for manifest in (kafka, authority, *services, *(a_user_secret(name, "old") for name in users)):
        api.apply(manifest)
    left, restarted_early = list(users), []

    def strimzi() -> None:
        api.set_status(kafka, {"conditions": [_condition("Ready")]})
        for service in services:
            found = api.get(service)
            if left and "kubectl.kubernetes.io/restartedAt" in str(found["spec"]["template"]):
                restarted_early.append(service["metadata"]["name"])
            api.set_status(service, _rolled_out(found))
        if left and api.get(authority)["metadata"].get("annotations"):
            api.apply(a_user_secret(left.pop(), "new"))

    with meanwhile(strimzi):
        run("k8s_clients_ca", NAMESPACE, kubectl=kubectl)

    assert (left, restarted_early) == ([], [])
    for service in services:
        annotations = api.get(service)["spec"]["template"]["metadata"]["annotations"]
        assert "kubectl.kubernetes.io/restartedAt" in annotations


def test_a_ca_that_is_not_renewed_restarts_nothing(api: KubeApi, kubectl: str) -> None:
    api.apply(a_user_secret("post-service-kafka", "old"))

    ran = run_script("k8s_clients_ca", NAMESPACE, kubectl=kubectl, timeout_s=3)

    assert ran.returncode == 1
    assert "post-service-kafka" in ran.stderr
    assert "restarted" not in ran.stdout


def test_the_command_line_runs_as_the_operator(api: KubeApi, kubectl: str) -> None:
    """Up to its log, which only a node could have."""
    for kind in ("ServiceAccount", "CronJob"):
        api.apply(named(rendered("prod"), kind, "activity-sweep"))
    jobs = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"

    def made() -> list[Object]:
        return [
            job
            for job in api.call("GET", jobs)["items"]
            if job["metadata"]["name"].startswith("fanfold-")
        ]

    def controller() -> None:
        for job in made():
            _where_it_is(api, {"apiVersion": "batch/v1", "kind": "Job", **job}, _completed)

    with meanwhile(controller), pytest.raises(AssertionError, match="timed out"):
        run("k8s_fanfold", NAMESPACE, "status", "--json", kubectl=kubectl)

    (job,) = made()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["status", "--json"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == (
        "activity-sweep"
    )


def test_what_kubectl_renders_is_what_was_checked(kubectl: str) -> None:
    """Its kustomize is another version than ours."""
    for overlay in OVERLAYS:
        ran = subprocess.run(
            [*kubectl.split(), "kustomize", str(MANIFESTS / "overlays" / overlay)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert tuple(yaml.safe_load_all(ran.stdout)) == rendered(overlay)


def test_the_pods_of_a_rollout_find_the_settings_of_that_rollout() -> None:
    """A hash is part of the ConfigMap's name, so that what runs keeps what it was started with."""
    objects = rendered("prod")
    (settings,) = (
        config_map
        for config_map in of_kind(objects, "ConfigMap")
        if config_map["metadata"]["name"].startswith("fanfold-settings-")
    )
    for name in ("post-service", "prepare"):
        for container in workload(objects, name).containers:
            assert settings["data"].items() <= environment(objects, container).items()
