"""The manifests as they are applied: rendered by kustomize, and asked in the words of Kubernetes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.k8s_schemas import HOME, ROOT

MANIFESTS = ROOT / "deploy" / "k8s"
OVERLAYS = ("dev", "prod")
SERVICES = ("post-service", "graph-service", "feed-service", "fanout-service")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")

Object = dict[str, Any]

_SUFFIXES = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1, "k": 1e3, "M": 1e6, "G": 1e9}


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """Every object of an overlay. The caller changes none of them."""
    return build(MANIFESTS / "overlays" / overlay)


def build(directory: Path) -> tuple[Object, ...]:
    """What `kustomize build` makes of a directory."""
    kustomize = HOME / "bin" / "kustomize"
    if not kustomize.exists():
        raise RuntimeError(f"no {kustomize}: run `scripts/fetch_k8s` (`make test` does)")
    built = subprocess.run(
        [str(kustomize), "build", str(directory)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return tuple(yaml.load_all(built.stdout, Loader=yaml.CSafeLoader))


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def named(objects: Sequence[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name."""
    (found,) = (
        candidate for candidate in of_kind(objects, kind) if candidate["metadata"]["name"] == name
    )
    return found


@dataclass(frozen=True)
class Workload:
    """A kind that makes pods, and the pods' template."""

    kind: str
    name: str
    spec: Object
    template: Object

    @property
    def labels(self) -> Mapping[str, str]:
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def pod(self) -> Object:
        pod: Object = self.template["spec"]
        return pod

    @property
    def containers(self) -> list[Object]:
        """All of them, those that only prepare the others too."""
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]

    @property
    def is_service(self) -> bool:
        return self.name in SERVICES

    @property
    def is_ours(self) -> bool:
        """Runs our image, by its command line."""
        return any(
            "args" in container and "fanfold/fanfold:" in container["image"]
            for container in self.containers
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def workloads(objects: Sequence[Object]) -> list[Workload]:
    return [_workload(found) for found in of_kind(objects, *WORKLOADS)]


def workload(objects: Sequence[Object], name: str) -> Workload:
    (found,) = (candidate for candidate in workloads(objects) if candidate.name == name)
    return found


def _workload(manifest: Object) -> Workload:
    spec = manifest["spec"]
    job = spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec
    return Workload(manifest["kind"], manifest["metadata"]["name"], spec, job["template"])


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector, in its long or in a Service's short form, matches."""
    if not selector:
        return True
    if not selector.keys() & {"matchLabels", "matchExpressions"}:
        return selector.items() <= labels.items()
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _expression_holds(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _expression_holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
    raise ValueError(f"operator {expression['operator']}")


def quantity(written: str | int) -> float:
    """`250m`, `1Gi` or `2` as a number."""
    found = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", str(written))
    assert found, written
    return float(found[1]) * _SUFFIXES[found[2]]


def environment(objects: Sequence[Object], container: Object) -> dict[str, str]:
    """What a container finds in its environment; a value from a Secret or the pod is named in angle brackets."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", ()):
        found[variable["name"]] = (
            variable["value"] if "value" in variable else f"<{variable['valueFrom']}>"
        )
    return found


def references(objects: Sequence[Object]) -> Iterator[tuple[str, str, str | None]]:
    """Each Secret and ConfigMap that a pod needs: kind, name, and key or None for the whole."""
    for pods in workloads(objects):
        for volume in pods.pod.get("volumes", ()):
            if "configMap" in volume:
                yield "ConfigMap", volume["configMap"]["name"], None
            for item in volume.get("secret", {}).get("items", ()):
                yield "Secret", volume["secret"]["secretName"], item["key"]
        for container in pods.containers:
            for source in container.get("envFrom", ()):
                yield "ConfigMap", source["configMapRef"]["name"], None
            for entry in container.get("env", ()):
                if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                    yield "Secret", reference["name"], reference["key"]
