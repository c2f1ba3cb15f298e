"""Every command of docs/runbooks exists, with its options, and what it names exists in the manifests as they are applied."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from fanfold.core.settings import Settings
from fanfold.ops.command_line import app
from tests.support.k8s import Object, named, of_kind, rendered
from tests.support.k8s_secrets import provided_secrets

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
NAMESPACE = "fanfold"
NODETOOL = "org.apache.cassandra.tools.NodeTool"

# What `kubectl` calls each kind here; what is in the second column is made by an operator, not rendered.
KINDS = {
    "deployment": "Deployment",
    "deployments": "Deployment",
    "statefulset": "StatefulSet",
    "statefulsets": "StatefulSet",
    "cronjob": "CronJob",
    "job": "Job",
    "secret": "Secret",
    "kafka": "Kafka",
    "kafkauser": "KafkaUser",
    "kafkausers": "KafkaUser",
    "scaledobject": "ScaledObject",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "cassandradatacenter": "CassandraDatacenter",
    "certificates": "Certificate",
    "gateway": "Gateway",
    "namespace": "Namespace",
    "persistentvolumeclaim": "PersistentVolumeClaim",
}
MADE_ELSEWHERE = {
    "kafkarebalances",
    "nodes",
    "pod",
    "pods",
    "jobs",
    "volumesnapshots",
    "persistentvolumeclaims",
}
VERBS = {
    "annotate",
    "apply",
    "create",
    "delete",
    "describe",
    "diff",
    "edit",
    "exec",
    "get",
    "kustomize",
    "logs",
    "patch",
    "rollout",
    "scale",
    "set",
    "taint",
    "wait",
}
# Labels that Strimzi and cass-operator put on what they make, and Jobs of what made them.
OPERATORS_LABELS = {
    "strimzi.io/cluster=fanfold-kafka",
    "cassandra.datastax.com/cluster=fanfold-cassandra",
    "fanfold.io/backup",
    # Of the nodes, as cassandra.yaml names them.
    "topology.kubernetes.io/zone=zone-a",
}
# Of KEDA and cass-operator, in their documentation and sources.
ANNOTATIONS = {
    "autoscaling.keda.sh/paused-replicas",
    "cassandra.datastax.com/allow-storage-changes",
}
WITH_VALUE = {
    "--namespace",
    "--selector",
    "--output",
    "--timeout",
    "--filename",
    "--kustomize",
    "--tail",
    "--container",
    "--type",
    "--patch",
    "--from",
    "--for",
    "--replicas",
}
FLAGS = {
    "--all",
    "--ignore-not-found",
    "--overwrite",
    "--server-side",
    "--stdin",
    "--tty",
}


def blocks(page: Path) -> Iterator[list[str]]:
    """Indented code, a list of lines each."""
    block: list[str] = []
    for line in [*page.read_text().splitlines(), ""]:
        if (line.startswith("    ") and not line.lstrip().startswith(("-", "*"))) or (
            block and line.startswith("    ")
        ):
            block.append(line.strip())
        elif block:
            yield block
            block = []


def commands(page: Path) -> list[list[str]]:
    """Each command of a page, in words; what is not one is YAML."""
    found: list[list[str]] = []
    for block in blocks(page):
        if block[0].startswith(("apiVersion:", "images:")):
            continue
        # Text that goes on below an item of a list is indented too, by three.
        found += [shlex.split(line.split(" > ")[0]) for line in block]
    return found


def of(first: str) -> list[Any]:
    return [
        pytest.param(words, id=f"{page.stem}: {shlex.join(words)}"[:120])
        for page in PAGES
        for words in commands(page)
        if words[0] == first
    ]


@cache
def objects() -> tuple[Object, ...]:
    return rendered("prod")


def test_every_line_of_code_is_a_command_that_is_checked() -> None:
    known = {
        "kubectl",
        "fanfold",
        "git",
        "podman",
        "sha256sum",
        *(f"scripts/{p.name}" for p in (ROOT / "scripts").iterdir()),
    }
    unknown = {
        (page.name, shlex.join(words))
        for page in PAGES
        for words in commands(page)
        if words[0] not in known
    }
    assert unknown == set()
    assert sum(len(commands(page)) for page in PAGES) > 80


def parse(arguments: list[str]) -> None:
    """By the command line's own parser, running nothing."""
    command: Any = typer.main.get_command(app)
    while getattr(command, "commands", None):
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    command.make_context(command.name, list(arguments))


@pytest.mark.parametrize("words", of("scripts/k8s_fanfold"))
def test_a_fanfold_command_is_one_with_its_options(words: list[str]) -> None:
    _, namespace, *arguments = words
    assert namespace == NAMESPACE
    parse(arguments)


def test_the_parser_would_refuse_what_is_not_there() -> None:
    with pytest.raises(KeyError):
        parse(["dead-letters", "burn"])
    with pytest.raises(BaseException, match="No such option"):
        parse(["dead-letters", "replay", "--harder"])


@pytest.mark.parametrize(
    "words",
    [
        *of("scripts/k8s_rollout"),
        *of("scripts/k8s_preflight"),
        *of("scripts/k8s_secrets"),
        *of("scripts/k8s_fanfold"),
        *of("scripts/k8s_clients_ca"),
    ],
)
def test_a_script_is_there_and_may_be_run(words: list[str]) -> None:
    assert os.access(ROOT / words[0], os.X_OK)
    if words[0].endswith(("rollout", "preflight")):
        assert (ROOT / words[1] / "kustomization.yaml").exists()
    else:
        assert words[1] == NAMESPACE


class Kubectl:
    """A command as `kubectl` takes it apart."""

    def __init__(self, words: list[str]) -> None:
        self.options: dict[str, str] = {}
        self.positional: list[str] = []
        self.inside: list[str] = []
        rest = iter(words[1:])
        for word in rest:
            if word == "--":
                self.inside = list(rest)
            elif word.startswith("--"):
                name, _, value = word.partition("=")
                assert name in WITH_VALUE | FLAGS, word
                self.options[name] = value or (next(rest) if name in WITH_VALUE else "")
            else:
                self.positional.append(word)
        self.verb = self.positional.pop(0)


@pytest.mark.parametrize("words", of("kubectl"))
def test_a_kubectl_command_names_what_is_in_the_manifests(words: list[str]) -> None:
    asked = Kubectl(words)
    assert asked.verb in VERBS
    assert asked.options.get("--namespace", NAMESPACE) == NAMESPACE
    if "--selector" in asked.options:
        assert selected(asked.options["--selector"]), asked.options["--selector"]
    for option in ("--filename", "--kustomize"):
        path = asked.options.get(option)
        assert path in {None, "rendered.yaml", "claim.yaml"} or (ROOT / str(path)).exists()
    if "--patch" in asked.options:
        assert json.loads(asked.options["--patch"])["spec"]
    if asked.verb == "exec" and asked.inside[0] == "fanfold":
        # The command line in a process's own pod, with its settings and rights.
        kind, name = workload_of(asked.positional[0])
        assert named(objects(), kind, name)
        assert asked.options["--container"] == name
        parse(list(asked.inside[1:]))
    elif asked.verb == "exec":
        assert asked.positional[0] in cassandra_pods()
        assert asked.options["--container"] == "cassandra"
        inside = list(asked.inside)
        if inside[0] == "env":
            assert inside[1] == f"SSL_CERTFILE={trusted_by_a_node()}"
            inside = inside[2:]
        assert inside[0] in {"nodetool", "cqlsh"}
        # Without the file it refuses to verify the node, and ends.
        assert (inside[0] == "cqlsh") == ("--ssl" in inside) == ("env" in asked.inside)
    elif asked.verb == "taint":
        assert asked.positional[:2] == ["nodes", "NODE"]
    elif asked.verb not in {"kustomize", "apply", "diff"}:
        names(asked)


def workload_of(pod: str) -> tuple[str, str]:
    """The kind and the name of what a pod belongs to."""
    kind, _, name = pod.rpartition("/")
    return (KINDS[kind], name) if kind else ("StatefulSet", name.removesuffix("-0"))


def nodetool_commands() -> list[list[str]]:
    inside = [Kubectl(words).inside for page in PAGES for words in commands(page) if "--" in words]
    return [words[1:] for words in inside if words[0] == "nodetool"]


def nodetool_help(*about: str) -> str:
    """What Cassandra's own tool says of itself."""
    options = ROOT / "deploy" / "engines" / "cassandra" / "jvm17.options"
    jars = ROOT / ".cache" / "engines"
    return subprocess.run(
        [jars / "java", f"@{options}", "-cp", f"{jars}/cassandra/*", NODETOOL, "help", *about],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_nodetool_has_every_command_and_option() -> None:
    asked = nodetool_commands()
    assert len({command for command, *_ in asked}) > 5
    known = set(re.findall(r"^    (\w+) ", nodetool_help(), re.MULTILINE))
    assert {command for command, *_ in asked} <= known
    with_options = {(c, word) for c, *words in asked for word in words if word.startswith("-")}
    for command, option in with_options:
        assert re.search(rf"{option}\b", nodetool_help(command)), (command, option)


def names(asked: Kubectl) -> None:
    """What it names exists: as `kind name`, `kind/name`, or kinds alone."""
    words = list(asked.positional)
    if asked.verb in {"rollout", "set"}:
        assert words.pop(0) in {"restart", "status", "env"}
    if asked.verb == "create":
        if words:
            assert words[0] in {"namespace", "job"}
            assert "--from" not in asked.options or exists(*asked.options["--from"].split("/"))
        return
    kind = None
    for word in words:
        if "=" in word or word.endswith("-"):
            key = word.partition("=")[0].removesuffix("-")
            assert key in ANNOTATIONS | {f"FANFOLD_{n.upper()}" for n in Settings.model_fields}
        elif "/" in word:
            assert exists(*word.split("/")), word
        elif kind is None:
            assert set(word.split(",")) <= KINDS.keys() | MADE_ELSEWHERE, word
            kind = word
        else:
            assert exists(kind, word), word


def exists(kind: str, name: str) -> bool:
    if kind == "secret":
        made_by_strimzi = {"fanfold-kafka-clients-ca"}
        return name in provided_secrets(objects()).keys() | made_by_strimzi
    if kind == "job" and name == "backup-now":
        return True  # made by the line before it
    if kind == "persistentvolumeclaim":
        return name.removeprefix("server-data-") in cassandra_pods()
    return name in {manifest["metadata"]["name"] for manifest in of_kind(objects(), KINDS[kind])}


def selected(selector: str) -> bool:
    if selector in OPERATORS_LABELS:
        return True
    if "notin" in selector:
        return selector == "fanfold.io/stage notin (prepare, serve)"
    key, _, value = selector.partition("=")
    return any(value == labels.get(key) for labels in all_labels(list(objects())))


def all_labels(node: Any) -> Iterator[Object]:
    if isinstance(node, dict):
        if isinstance(node.get("labels"), dict):
            yield node["labels"]
        for child in node.values():
            yield from all_labels(child)
    elif isinstance(node, list | tuple):
        for child in node:
            yield from all_labels(child)


def trusted_by_a_node() -> str:
    """The CA's certificate, where a node of Cassandra has it."""
    (datacenter,) = of_kind(objects(), "CassandraDatacenter")
    options = datacenter["spec"]["config"]["cassandra-yaml"]["client_encryption_options"]
    return str(options["truststore"])


def cassandra_pods() -> set[str]:
    """As cass-operator names them."""
    (datacenter,) = of_kind(objects(), "CassandraDatacenter")
    cluster, name = datacenter["spec"]["clusterName"], datacenter["metadata"]["name"]
    return {f"{cluster}-{name}-{rack['name']}-sts-0" for rack in datacenter["spec"]["racks"]}


def test_the_claim_that_is_restored_is_that_of_a_node() -> None:
    (claim,) = [
        "\n".join(line[8:] for line in found.splitlines())
        for found in re.findall(
            r"^        apiVersion: v1\n(?:        .*\n)+",
            (RUNBOOKS / "restore.md").read_text(),
            re.MULTILINE,
        )
    ]
    made = yaml.safe_load(claim)
    (datacenter,) = of_kind(objects(), "CassandraDatacenter")
    wanted = datacenter["spec"]["storageConfig"]["cassandraDataVolumeClaimSpec"]
    assert made["metadata"]["name"].removeprefix("server-data-") in cassandra_pods()
    assert made["spec"]["accessModes"] == wanted["accessModes"]
    assert made["spec"]["resources"] == wanted["resources"]
    assert made["spec"]["dataSource"]["name"].startswith(made["metadata"]["name"])


def alerts() -> dict[str, Object]:
    return {
        rule["alert"]: rule["annotations"]
        for rules in of_kind(objects(), "PrometheusRule")
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def test_every_alert_has_its_page() -> None:
    rows = re.findall(
        r"^\| (Fanfold[\w, ]+) \| \[([^\]]+)\]\(([\w.-]+)",
        (RUNBOOKS / "README.md").read_text(),
        re.MULTILINE,
    )
    page_of = {alert: file for named, _, file in rows for alert in named.split(", ")}
    assert page_of.keys() == alerts().keys()
    for alert, notes in alerts().items():
        assert notes["runbook_url"].endswith(f"docs/runbooks/{page_of[alert]}")
        # The page knows that it is about this.
        assert alert in (RUNBOOKS / page_of[alert]).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_short_and_says_when_what_and_why(page: Path) -> None:
    text = page.read_text()
    assert "**When**" in text
    assert re.search(r"^## (Do|Into|Check)", text, re.MULTILINE)
    assert len(text.splitlines()) <= 90
    assert f"]({page.name}" in (RUNBOOKS / "README.md").read_text()
