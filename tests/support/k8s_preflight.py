"""The preflight program, and what it would see in a cluster that has everything."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.support.k8s import MANIFESTS, Object


def preflight_program() -> ModuleType:
    """As `scripts/k8s_preflight` runs it."""
    spec = importlib.util.spec_from_file_location("preflight", MANIFESTS / "preflight.py")
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def an_operator(name: str, namespace: str, **variables: str | None) -> Object:
    """Its Deployment, with a pod that is available. A variable that is None refers to its own namespace."""
    own = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"name": name}},
            "template": {
                "metadata": {"labels": {"name": name}},
                "spec": {
                    "containers": [
                        {
                            "name": "operator",
                            "image": "operator:1",
                            "env": [
                                {"name": key, "valueFrom": own}
                                if value is None
                                else {"name": key, "value": value}
                                for key, value in variables.items()
                            ],
                        }
                    ]
                },
            },
        },
        "status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1},
    }


def operators() -> list[Object]:
    return [
        an_operator("strimzi-cluster-operator", "strimzi", STRIMZI_NAMESPACE="*"),
        an_operator("cass-operator", "cass-operator", WATCH_NAMESPACE=""),
        an_operator("cert-manager", "cert-manager"),
        an_operator("envoy-gateway", "envoy-gateway-system"),
        an_operator("keda-operator", "keda", WATCH_NAMESPACE=""),
        an_operator("prometheus-operator", "monitoring"),
    ]


def a_storage_class(**changed: object) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "csi.example.net",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        **changed,
    }
