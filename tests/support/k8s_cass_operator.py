"""A real cass-operator on a cluster of our own, installed as its own manifests say, and what it makes of our CassandraDatacenter."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.support.certificates import Authority
from tests.support.k8s import Object, of_kind
from tests.support.k8s_cluster import HOME, Cluster

MANIFESTS = HOME / "cass-operator.yaml"
"""Made by `scripts/k8s_cluster build` when CASS_OPERATOR_SOURCE is given."""
OPERATOR = "cass-operator"
_WEBHOOK = f"cass-operator-webhook-service.{OPERATOR}.svc"
_PROGRAM = "/usr/local/bin/cass-operator"


@contextmanager
def running_cass_operator(cluster: Cluster, directory: Path) -> Iterator[None]:
    """For the whole cluster, with its webhooks. What cert-manager would make is made here."""
    authority = Authority(
        directory / "webhook", name="the webhook's", valid_for=[f"DNS:{_WEBHOOK}"]
    )
    identity = authority.identity("webhook")
    objects = [found for found in yaml.safe_load_all(MANIFESTS.read_text()) if found]
    first = of_kind(objects, "Namespace", "CustomResourceDefinition")
    cluster.apply(first)
    cluster.apply(
        [
            tls_secret("webhook-server-cert", OPERATOR, authority.ca, identity.cert, identity.key),
            *(
                _for_this_cluster(found, authority.ca)
                for found in objects
                if found not in first and "cert-manager.io" not in found["apiVersion"]
            ),
        ]
    )
    cluster.kubectl(
        *("--namespace", OPERATOR, "rollout", "status", "--timeout=180s"),
        "deployment/cass-operator-controller-manager",
    )
    try:
        yield
    finally:
        # The webhooks would refuse every change without it.
        for kind in ("mutating", "validating"):
            name = f"cass-operator-{kind}-webhook-configuration"
            cluster.kubectl("delete", f"{kind}webhookconfiguration", name)
        cluster.kubectl("delete", "namespace", OPERATOR)


def _for_this_cluster(manifest: Object, ca: Path) -> Object:
    """With the image that is here, and the CA that cert-manager would write into the webhooks."""
    changed = copy.deepcopy(manifest)
    if changed["kind"] == "Deployment":
        (container,) = changed["spec"]["template"]["spec"]["containers"]
        container |= {
            "image": "localhost/cass-operator:1",
            "imagePullPolicy": "Never",
            "command": [_PROGRAM],
        }
    for webhook in changed.get("webhooks", ()):
        webhook["clientConfig"]["caBundle"] = _base64(ca)
    return changed


def tls_secret(name: str, namespace: str, ca: Path, cert: Path, key: Path) -> Object:
    """A certificate as cert-manager keeps it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "data": {"ca.crt": _base64(ca), "tls.crt": _base64(cert), "tls.key": _base64(key)},
    }


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
