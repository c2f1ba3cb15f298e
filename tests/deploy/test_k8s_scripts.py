"""The scripts that bring the manifests into a cluster: in order, each step awaited, safe to repeat."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.k8s import MANIFESTS, OVERLAYS, Object, named, of_kind, rendered, selects
from tests.support.k8s_schemas import HOME, ROOT, errors_of
from tests.support.k8s_secrets import made_by_script

# Writes down what it is asked to do, with what comes in, and does what the scripts need an answer of.
KUBECTL = """\
#!/bin/bash
set -eu
log=$(dirname "$0")/log
case "$*" in
kustomize*) exec "{kustomize}" build "$2" ;;
*"get secret"*) grep -q "^made $5\\$" "$log" 2> /dev/null ;;
*"create --filename -"*)
    made=$(cat); echo "$made" > "$(dirname "$0")/$(date +%s%N).yaml"
    echo "made $(echo "$made" | sed -n 's/^  name: //p')" >> "$log" ;;
*"get kafka --output name"*) echo kafka.kafka.strimzi.io/fanfold-kafka ;;
*"get cassandradatacenter --output name"*) echo cassandradatacenter.cassandra.datastax.com/dc1 ;;
*"get deployments,statefulsets --selector fanfold.io/stage=serve --output name"*)
    printf 'deployment.apps/%s\\n' post-service graph-service feed-service
    echo statefulset.apps/fanout-service ;;
*"{fails}"*) echo "refused: $*" >> "$log"; exit 1 ;;
*) echo "$*" | sed 's#--filename /[^ ]*#--filename FILE#' >> "$log" ;;
esac
"""


class Cluster:
    """A kubectl that only writes down."""

    def __init__(self, directory: Path, *, fails: str = "nothing") -> None:
        self.directory = directory
        kubectl = directory / "kubectl"
        kubectl.write_text(
            KUBECTL.replace("{kustomize}", str(HOME / "bin/kustomize")).replace("{fails}", fails)
        )
        kubectl.chmod(0o755)

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "scripts" / script, *arguments],
            # The script needs PATH and the like.
            env={**os.environ, "KUBECTL": str(self.directory / "kubectl"), "TIMEOUT": "1m"},  # noqa: TID251
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def log(self) -> list[str]:
        return (self.directory / "log").read_text().splitlines()

    @property
    def made(self) -> list[Object]:
        return [yaml.safe_load(path.read_text()) for path in sorted(self.directory.glob("*.yaml"))]


def test_a_rollout_prepares_before_it_serves_and_waits_for_each_step(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    ran = cluster.run("k8s_rollout", str(MANIFESTS / "overlays/prod"))

    assert ran.returncode == 0, ran.stderr
    apply = "apply --server-side --force-conflicts --validate=strict --filename FILE --selector"
    inside = "--namespace fanfold"
    assert cluster.log == [
        f"{apply} fanfold.io/stage notin (prepare, serve)",
        f"{inside} wait kafka.kafka.strimzi.io/fanfold-kafka --for=condition=Ready --timeout=1m",
        f"{inside} wait cassandradatacenter.cassandra.datastax.com/dc1 --for=condition=Ready --timeout=1m",
        f"{inside} delete job prepare --ignore-not-found --wait",
        f"{apply} fanfold.io/stage=prepare",
        f"{inside} wait job/prepare --for=condition=Complete --timeout=1m",
        f"{apply} fanfold.io/stage=serve",
        f"{inside} rollout status deployment.apps/post-service --timeout=1m",
        f"{inside} rollout status deployment.apps/graph-service --timeout=1m",
        f"{inside} rollout status deployment.apps/feed-service --timeout=1m",
        f"{inside} rollout status statefulset.apps/fanout-service --timeout=1m",
    ]


@pytest.mark.parametrize("failing", ["wait kafka", "wait job/prepare"])
def test_where_a_step_fails_nothing_is_served(tmp_path: Path, failing: str) -> None:
    cluster = Cluster(tmp_path, fails=failing)

    ran = cluster.run("k8s_rollout", str(MANIFESTS / "overlays/prod"))

    assert ran.returncode != 0
    assert cluster.log[-1].startswith("refused:")
    assert not [line for line in cluster.log if "stage=serve" in line]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_belongs_to_one_step(overlay: str) -> None:
    objects = rendered(overlay)
    steps = {
        stage: {
            (manifest["kind"], manifest["metadata"]["name"])
            for manifest in objects
            if manifest["metadata"].get("labels", {}).get("fanfold.io/stage") == stage
        }
        for stage in ("prepare", "serve")
    }
    console = {("Deployment", "console-service")} if overlay == "dev" else set()
    assert steps == {
        "prepare": {("Job", "prepare")},
        "serve": {
            ("Deployment", "post-service"),
            ("Deployment", "graph-service"),
            ("Deployment", "feed-service"),
            ("StatefulSet", "fanout-service"),
            *console,
        },
    }


def test_the_secrets_are_made_once(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    first, second = cluster.run("k8s_secrets", "fanfold"), cluster.run("k8s_secrets", "fanfold")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert {secret["metadata"]["name"]: set(secret["stringData"]) for secret in cluster.made} == (
        made_by_script()
    )
    assert first.stdout.count("created ") == len(made_by_script())
    assert second.stdout.count(" exists") == len(made_by_script())


def test_a_password_is_long_its_own_and_not_an_argument(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.run("k8s_secrets", "fanfold")

    passwords = [secret["stringData"]["password"] for secret in cluster.made]
    assert min(map(len, passwords)) >= 32
    assert len(set(passwords)) == len(passwords)
    assert [secret for secret in cluster.made if errors_of(secret)] == []
    assert not [word for word in passwords if any(word in line for line in cluster.log)]


def test_a_role_has_the_name_that_it_is_granted_under(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.run("k8s_secrets", "fanfold")

    for secret in cluster.made:
        name = secret["metadata"]["name"]
        if name.endswith("-cassandra"):
            role = name.removesuffix("-cassandra").replace("-", "_")
            assert secret["stringData"]["username"] == role


def test_a_label_distinguishes_engines_from_services() -> None:
    """The overlays patch services by it."""
    for manifest in of_kind(rendered("prod"), "Deployment", "StatefulSet"):
        labels = manifest["metadata"]["labels"]
        engine = selects({"app.kubernetes.io/component": "engine"}, labels)
        assert engine != (labels.get("fanfold.io/stage") == "serve")


# A cluster with the nightly sweep, whose Jobs end as told.
ONE_JOB = """\
#!/bin/bash
set -eu
here=$(dirname "$0")
case "$*" in
*"create job"*) cat "$here/job.json" ;;
*"get persistentvolumeclaim"*) [ -e "$here/claim" ] ;;
*"exec --stdin operator-files"*) shift 6; set -- "${@/#\\/files/$here/volume}"; exec "$@" ;;
*"delete pod"* | *"wait pod"*) echo "$*" >> "$here/pods" ;;
*"create --filename -"*) cat > "$here/created.json" ;;
*"get job/"*) echo "$*" >> "$here/asked"; if [ "$(wc -l < "$here/asked")" -gt 1 ]; then cat "$here/ended"; else echo //; fi ;;
*logs*) echo "3 replayed" ;;
esac
"""


class OneJob:
    """A cluster in which `scripts/k8s_fanfold` makes its Job, and what it is answered about it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spec = named(rendered("prod"), "CronJob", "activity-sweep")["spec"]["jobTemplate"][
            "spec"
        ]
        (directory / "job.json").write_text(json.dumps({"kind": "Job", "spec": self.spec}))
        # The script waits a second between two questions.
        for program, text in (("kubectl", ONE_JOB), ("sleep", "#!/bin/sh\n")):
            (directory / program).write_text(text)
            (directory / program).chmod(0o755)

    def run(self, *words: str, start_within_s: int = 60) -> subprocess.CompletedProcess[str]:
        return self.script("k8s_fanfold", "fanfold", *words, start_within_s=start_within_s)

    def script(
        self, name: str, *words: str, start_within_s: int = 60
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "scripts" / name, *words],
            env={
                **os.environ,  # noqa: TID251
                "KUBECTL": str(self.directory / "kubectl"),
                "START_WITHIN_S": str(start_within_s),
                "PATH": f"{self.directory}:{os.environ['PATH']}",  # noqa: TID251
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.mark.parametrize(("ended", "status"), [("1//", 0), ("/1/", 1)])
def test_a_command_is_run_as_the_operator_and_ends_as_it_ends(
    tmp_path: Path, ended: str, status: int
) -> None:
    cluster = OneJob(tmp_path)
    (tmp_path / "ended").write_text(ended)

    ran = cluster.run("dead-letters", "replay", "--type", "A B")

    assert (ran.returncode, ran.stdout) == (status, "3 replayed\n"), ran.stderr
    made = json.loads((tmp_path / "created.json").read_text())["spec"]
    (container,) = made["template"]["spec"]["containers"]
    assert container["args"] == ["dead-letters", "replay", "--type", "A B"]
    # Once: who asked for it sees what became of it, and asks again.
    assert (made["backoffLimit"], made["template"]["spec"]["restartPolicy"]) == (0, "Never")
    (kept,) = cluster.spec["template"]["spec"]["containers"]
    assert {**container, "args": kept["args"]} == kept


def test_a_file_is_copied_to_the_cluster_and_a_command_finds_it(tmp_path: Path) -> None:
    cluster = OneJob(tmp_path)
    (tmp_path / "volume").mkdir()
    followers = tmp_path / "followers.csv"
    followers.write_bytes(b"follower,followee\n" * 100_000)

    ran = cluster.script("k8s_upload", "fanfold", str(followers))

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "/files/followers.csv\n"
    assert (tmp_path / "volume/followers.csv").read_bytes() == followers.read_bytes()
    pod = json.loads((tmp_path / "created.json").read_text())["spec"]
    (sweep,) = cluster.spec["template"]["spec"]["containers"]
    (container,) = pod["containers"]
    assert container["securityContext"] == sweep["securityContext"]
    assert {"name": "files", "mountPath": "/files"} in container["volumeMounts"]
    # A volume can be on one node only: the pod is gone before the next one needs it.
    assert "delete pod operator-files" in (tmp_path / "pods").read_text().splitlines()[-1]

    (tmp_path / "claim").touch()
    (tmp_path / "ended").write_text("1//")
    assert cluster.run("graph", "import", "/files/followers.csv").returncode == 0

    job = json.loads((tmp_path / "created.json").read_text())["spec"]["template"]["spec"]
    (container,) = job["containers"]
    assert container["args"] == ["graph", "import", "/files/followers.csv"]
    assert {"name": "files", "mountPath": "/files"} in container["volumeMounts"]


def test_a_copy_that_is_not_the_same_is_an_error(tmp_path: Path) -> None:
    cluster = OneJob(tmp_path)
    (tmp_path / "volume").mkdir()
    (tmp_path / "kubectl").write_text(ONE_JOB.replace('exec "$@"', '"$@" < /dev/null'))
    (tmp_path / "followers.csv").write_text("follower,followee\n")

    ran = cluster.script("k8s_upload", "fanfold", str(tmp_path / "followers.csv"))

    assert ran.returncode == 1
    assert "is not the same" in ran.stderr


def test_a_cluster_that_does_not_answer_ends_the_command(tmp_path: Path) -> None:
    """`get` fails from the second time on, as when the Job is gone or a right is missing."""
    ran = OneJob(tmp_path).run("status")

    assert ran.returncode == 1
    assert "doesn't say what became of the command" in ran.stderr


def test_a_pod_that_does_not_start_ends_the_command(tmp_path: Path) -> None:
    """An image that can't be pulled, or no room for the pod."""
    (tmp_path / "ended").write_text("//")

    ran = OneJob(tmp_path).run("status", start_within_s=0)

    assert ran.returncode == 1
    assert "has not started" in ran.stderr
    assert "describe job/fanfold-" in ran.stderr
