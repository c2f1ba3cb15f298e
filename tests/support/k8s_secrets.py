"""Where each Secret comes from: rendered manifests, an operator that makes it of an object, or `scripts/k8s_secrets`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tests.support.k8s import Object, of_kind
from tests.support.k8s_schemas import ROOT


def provided_secrets(objects: Sequence[Object]) -> dict[str, set[str]]:
    """Every Secret that there will be, with its keys."""
    provided = made_by_script()
    for secret in of_kind(objects, "Secret"):
        keys = {*secret.get("data", ()), *secret.get("stringData", ())}
        provided[secret["metadata"]["name"]] = keys
    for user in of_kind(objects, "KafkaUser"):
        # Strimzi, for a user that authenticates by TLS.
        assert user["spec"]["authentication"]["type"] == "tls"
        provided[user["metadata"]["name"]] = {"ca.crt", "user.crt", "user.key"}
    for kafka in of_kind(objects, "Kafka"):
        provided[f"{kafka['metadata']['name']}-cluster-ca-cert"] = {"ca.crt"}
    for datacenter in of_kind(objects, "CassandraDatacenter"):
        provided[f"{datacenter['spec']['clusterName']}-superuser"] = {"username", "password"}
    for certificate in of_kind(objects, "Certificate"):
        provided[certificate["spec"]["secretName"]] = _of_certificate(certificate["spec"])
    return provided


def made_by_script() -> dict[str, set[str]]:
    """What `scripts/k8s_secrets` says that it makes."""
    listed = subprocess.run(
        [ROOT / "scripts" / "k8s_secrets", "--list"], capture_output=True, text=True, check=True
    )
    return {name: set(keys) for name, *keys in map(str.split, listed.stdout.splitlines())}


def _of_certificate(spec: Object) -> set[str]:
    keys = {"ca.crt", "tls.crt", "tls.key"}
    if {"type": "CombinedPEM"} in spec.get("additionalOutputFormats", ()):
        keys.add("tls-combined.pem")
    return keys
