"""What a cluster lacks for an overlay, before anything is applied to it. Changes nothing.

`scripts/k8s_preflight OVERLAY` runs it, with the standard library alone. It prints a line for each thing that is there, is missing
or can't be judged, and exits with 1 if anything is missing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

VERSIONS = Path(__file__).parent / "versions.env"
ZONE = "topology.kubernetes.io/zone"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_ENFORCE = "pod-security.kubernetes.io/enforce"

Object = dict[str, Any]
Ask = Callable[..., Any]
"""Runs `kubectl get` with these words and gives its JSON, or None if there is nothing or it may not be seen."""


class Finding(NamedTuple):
    """`verdict` is ok, missing or unknown."""

    verdict: str
    what: str
    do: str = ""


def _missing(what: str, do: str) -> Finding:
    return Finding("missing", what, do)


class Operator(NamedTuple):
    """Where an operator runs and what it watches."""

    word: str
    """In the name of its Deployment or image."""
    kinds: str
    """API groups whose objects it handles."""
    namespace: str | None = None
    """The only one that the NetworkPolicies admit."""
    watches: str | None = None
    """The variable with the watched namespaces. Empty or `*` is all; a reference to its own namespace is that alone."""


OPERATORS = (
    Operator("strimzi-cluster-operator", "kafka.strimzi.io", watches="STRIMZI_NAMESPACE"),
    Operator("cass-operator", "cassandra.datastax.com", "cass-operator", watches="WATCH_NAMESPACE"),
    Operator("cert-manager", "cert-manager.io"),
    Operator("external-secrets", "external-secrets.io"),
    Operator("envoy-gateway", "gateway.envoyproxy.io", "envoy-gateway-system"),
    Operator("keda-operator", "keda.sh", "keda", watches="WATCH_NAMESPACE"),
    Operator("prometheus-operator", "monitoring.coreos.com", "monitoring"),
)


class Overlay:
    """What an overlay asks for, read from what kustomize rendered."""

    def __init__(self, rendered: str) -> None:
        self.text = rendered
        self.kinds = {
            (_field(document, "apiVersion"), _field(document, "kind"))
            for document in rendered.split("\n---\n")
        }
        self.groups = {version.partition("/")[0] for version, _ in self.kinds if "/" in version}
        named = re.search(r"^kind: Namespace\n(?:.*\n)*?  name: (\S+)$", rendered, re.MULTILINE)
        self.namespace = named[1] if named else "default"
        self.zones = set(re.findall(rf"{re.escape(ZONE)}: (\S+)", rendered))
        self.storage_classes = set(re.findall(r"\b(?:storageClassName|class): (\S+)", rendered))
        # Those that no operator makes.
        self.secrets = set(
            re.findall(
                r"secretKeyRef:\n +key: \S+\n +name: (\S+-(?:cassandra|cache))$",
                rendered,
                re.MULTILINE,
            )
        )


def _field(document: str, name: str) -> str:
    found = re.search(rf"^{name}: (\S+)$", document, re.MULTILINE)
    return found[1] if found else ""


def findings(overlay: Overlay, ask: Ask, *, minor: int) -> Iterator[Finding]:
    """All of them, in the order in which to resolve them. `minor` is that of the Kubernetes that the manifests are checked against."""
    yield from _placeholders(overlay)
    yield from _server(ask, minor)
    yield from _kinds(overlay, ask)
    yield from _operators(overlay, ask)
    yield from _namespace(overlay, ask)
    yield from _nodes(overlay, ask)
    yield from _storage(overlay, ask)
    yield from _others(overlay, ask)


def _placeholders(overlay: Overlay) -> Iterator[Finding]:
    for placeholder in sorted(set(re.findall(r"[\w.-]+\.example\.com", overlay.text))):
        yield _missing(f"a value in place of {placeholder}", "docs/kubernetes.md, What to fill in")


def _server(ask: Ask, minor: int) -> Iterator[Finding]:
    version = ask("--raw", "/version") or {}
    found = int(re.sub(r"\D", "", str(version.get("minor", "0"))) or 0)
    verdict = "ok" if found >= minor - 2 else "missing"
    yield Finding(
        verdict, f"Kubernetes 1.{found}", f"1.{minor - 2} or later; checked with 1.{minor}"
    )


def _kinds(overlay: Overlay, ask: Ask) -> Iterator[Finding]:
    for version in sorted({version for version, _ in overlay.kinds if "/" in version}):
        served = {
            kind["kind"]
            for kind in (ask("--raw", f"/apis/{version}") or {"resources": []})["resources"]
        }
        lacking = sorted({kind for wanted, kind in overlay.kinds if wanted == version} - served)
        if lacking:
            yield Finding(
                "missing",
                f"{version}: {', '.join(lacking)}",
                "install its CRDs, at the version of docs/kubernetes.md",
            )
        else:
            yield Finding("ok", version)


def _operators(overlay: Overlay, ask: Ask) -> Iterator[Finding]:
    deployments = (ask("deployments", "--all-namespaces") or {"items": []})["items"]
    for operator in OPERATORS:
        if operator.kinds not in overlay.groups:
            continue
        found = [deployment for deployment in deployments if _is(operator, deployment)]
        if not found:
            yield _missing(operator.word, "install it")
        for deployment in found:
            yield _operator(operator, deployment, overlay.namespace)


def _is(operator: Operator, deployment: Object) -> bool:
    meta = deployment["metadata"]
    name = meta.get("labels", {}).get("app.kubernetes.io/name", "")
    return meta["name"].endswith(operator.word) or name.endswith(operator.word)


def _operator(operator: Operator, deployment: Object, namespace: str) -> Finding:
    own = deployment["metadata"]["namespace"]
    what = f"{operator.word} in {own}"
    if operator.namespace not in {None, own}:
        return Finding(
            "missing",
            what,
            f"the NetworkPolicies admit it from the namespace {operator.namespace} only",
        )
    if not deployment.get("status", {}).get("availableReplicas"):
        return _missing(what, "no pod of it is available")
    watched = _watched(operator, deployment)
    if watched is not None and namespace not in watched:
        return _missing(
            what, f"it watches {', '.join(sorted(watched))} only: set {operator.watches}"
        )
    return Finding("ok", what)


def _watched(operator: Operator, deployment: Object) -> set[str] | None:
    """The namespaces, or None for all."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for variable in container.get("env", ()):
            if variable["name"] == operator.watches:
                if "valueFrom" in variable:
                    return {deployment["metadata"]["namespace"]}
                named = {name.strip() for name in variable.get("value", "").split(",")} - {""}
                return None if not named or "*" in named else named
    return None


def _namespace(overlay: Overlay, ask: Ask) -> Iterator[Finding]:
    namespace = ask("namespace", overlay.namespace)
    if namespace is None:
        yield Finding(
            "missing",
            f"the namespace {overlay.namespace}",
            f"kubectl create namespace {overlay.namespace}",
        )
        return
    enforced = namespace["metadata"].get("labels", {}).get(_ENFORCE, "restricted")
    verdict = "ok" if enforced == "restricted" else "unknown"
    yield Finding(
        verdict, f"Pod Security {enforced} in {overlay.namespace}", "the overlay sets restricted"
    )
    secrets = ask("secrets", "--namespace", overlay.namespace) or {"items": []}
    there = {secret["metadata"]["name"] for secret in secrets["items"]}
    if lacking := sorted(overlay.secrets - there):
        yield _missing(f"Secrets: {', '.join(lacking)}", f"scripts/k8s_secrets {overlay.namespace}")
    else:
        yield Finding("ok", f"Secrets in {overlay.namespace}")


def _nodes(overlay: Overlay, ask: Ask) -> Iterator[Finding]:
    nodes = (ask("nodes") or {"items": []})["items"]
    zones = {node["metadata"].get("labels", {}).get(ZONE) for node in nodes} - {None}
    for zone in sorted(overlay.zones):
        if zone in zones:
            yield Finding("ok", f"a node in {zone}")
        else:
            yield Finding(
                "missing",
                f"a node in {zone}",
                f"name the zones in cassandra.yaml: there are {sorted(zones)}",
            )


def _storage(overlay: Overlay, ask: Ask) -> Iterator[Finding]:
    classes = (ask("storageclasses") or {"items": []})["items"]
    by_name = {found["metadata"]["name"]: found for found in classes}
    default = {
        name
        for name, found in by_name.items()
        if found["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true"
    }
    for name in sorted(overlay.storage_classes - by_name.keys()):
        yield _missing(f"the storage class {name}", f"there are {sorted(by_name)}")
    if not default and not overlay.storage_classes:
        yield _missing("a default storage class", "or name one in kafka.yaml and datacenter.yaml")
    for name in sorted(overlay.storage_classes & by_name.keys() or default):
        found = by_name[name]
        if found.get("volumeBindingMode") != "WaitForFirstConsumer":
            do = "volumeBindingMode must be WaitForFirstConsumer: else volumes are in other zones than pods"
            yield _missing(f"storage class {name}", do)
        elif not found.get("allowVolumeExpansion"):
            yield _missing(f"storage class {name}", "allowVolumeExpansion: the log only grows")
        else:
            yield Finding("ok", f"storage class {name}")
        if "cassandra.datastax.com" in overlay.groups:
            yield from _snapshots(found["provisioner"], ask)


def _snapshots(driver: str, ask: Ask) -> Iterator[Finding]:
    classes = (ask("volumesnapshotclasses") or {"items": []})["items"]
    if driver in {found["driver"] for found in classes}:
        yield Finding("ok", f"snapshots of {driver}")
    else:
        yield _missing(f"a VolumeSnapshotClass of {driver}", "the nightly backup needs it")


def _others(overlay: Overlay, ask: Ask) -> Iterator[Finding]:
    if "gateway.networking.k8s.io" in overlay.groups and not ask("gatewayclass", "fanfold"):
        do = "kubectl apply -f deploy/k8s/cluster/gateway-class.yaml"
        yield _missing("the GatewayClass fanfold", do)
    if "autoscaling" in overlay.groups and not ask("--raw", "/apis/metrics.k8s.io/v1beta1"):
        yield _missing("metrics-server", "the autoscalers ask it")
    if "k8s-app: kube-dns" in overlay.text:
        of_dns = ("--namespace", "kube-system", "--selector", "k8s-app=kube-dns")
        if not (ask("pods", *of_dns) or {"items": []})["items"]:
            do = "take components/dns-node-local or components/openshift"
            yield _missing("pods labelled k8s-app=kube-dns in kube-system", do)
    yield Finding("unknown", "whether the network plugin enforces NetworkPolicies", "it must")


def _kubectl(command: list[str]) -> Ask:
    def ask(*words: str) -> Any:
        output = [] if words[0] == "--raw" else ["--output", "json"]
        get = [*command, "get", *words, *output]
        ran = subprocess.run(get, capture_output=True, text=True, check=False)  # noqa: S603
        return json.loads(ran.stdout) if ran.returncode == 0 else None

    return ask


def main() -> None:
    """Reads the rendered overlay from standard input; the arguments are the command `kubectl`."""
    minor = re.search(r"^KUBERNETES=1\.(\d+)", VERSIONS.read_text(), re.MULTILINE)
    overlay = Overlay(sys.stdin.read())
    ask = _kubectl(sys.argv[1:])
    if ask("--raw", "/version") is None:
        raise SystemExit("the cluster does not answer: is kubectl's context the right one?")
    found = list(findings(overlay, ask, minor=int(minor[1]) if minor else 0))
    for verdict, what, do in found:
        print(f"{verdict:8} {what}" + (f": {do}" if do and verdict != "ok" else ""))
    raise SystemExit(any(finding.verdict == "missing" for finding in found))


if __name__ == "__main__":
    main()
