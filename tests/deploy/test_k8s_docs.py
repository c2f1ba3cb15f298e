"""docs/kubernetes.md says what to install, and where what is one's own goes."""

from __future__ import annotations

import re

import pytest

from tests.support.k8s import MANIFESTS
from tests.support.k8s_schemas import ROOT

DOCUMENT = (ROOT / "docs/kubernetes.md").read_text()
NAMES = {
    "KUBERNETES": "Kubernetes",
    "METRICS_SERVER": "metrics-server",
    "STRIMZI": "Strimzi",
    "CASS_OPERATOR": "cass-operator",
    "CERT_MANAGER": "cert-manager",
    "EXTERNAL_SECRETS": "External Secrets",
    "EXTERNAL_SNAPSHOTTER": "a CSI driver with snapshots (external-snapshotter)",
    "GATEWAY_API": "Gateway API",
    "ENVOY_GATEWAY": "Envoy Gateway",
    "KEDA": "KEDA",
    "PROMETHEUS_OPERATOR": "Prometheus operator, kube-state-metrics, Grafana",
}


def test_the_versions_to_install_are_those_that_the_manifests_are_checked_against() -> None:
    pinned = dict(
        re.findall(r"^(\w+)=(\S+)$", (MANIFESTS / "versions.env").read_text(), re.MULTILINE)
    )
    (table,) = re.findall(r"<!-- versions -->\n(.*?)<!-- /versions -->", DOCUMENT, re.DOTALL)
    shown = dict(re.findall(r"^\| (.+?) \| ([\d.]+) \|", table, re.MULTILINE))
    assert shown == {name: pinned[key] for key, name in NAMES.items()}


@pytest.mark.parametrize("placeholder", ["example.com", "zone-a", "letsencrypt"])
def test_every_placeholder_is_in_a_file_that_the_document_names(placeholder: str) -> None:
    holding = [
        str(path.relative_to(ROOT))
        for path in MANIFESTS.rglob("*.yaml")
        if placeholder in path.read_text()
    ]
    assert holding
    assert [path for path in holding if path not in DOCUMENT] == []
