"""One kube-apiserver with every CRD, for all of these tests (`make k8s-verify`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.k8s import OVERLAYS, Object, of_kind, rendered
from tests.support.k8s_schemas import HOME
from tests.support.kube_apiserver import KubeApi, running_apiserver
from tests.support.probes import wait_until


@pytest.fixture(scope="session")
def api() -> Iterator[KubeApi]:
    with running_apiserver() as server:
        crds = [
            document
            for path in sorted((HOME / "crds").rglob("*.yaml"))
            for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader)
            if document
        ]
        for document in crds:
            server.apply(document)
        wanted = {
            f"{crd['spec']['group']}/{version['name']}"
            for crd in of_kind(crds, "CustomResourceDefinition")
            for version in crd["spec"]["versions"]
            if version["served"]
        }
        assert wait_until(
            lambda: all(map(server.serves, wanted)), within_s=60, gone=lambda: False
        ), "the CRDs are not served"
        for overlay in OVERLAYS:
            for namespace in of_kind(rendered(overlay), "Namespace"):
                server.apply(namespace)
        yield server


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


@pytest.fixture
def kubectl(api: KubeApi, tmp_path: Path) -> str:
    """The command, with this server's address; the one program here that isn't built by us."""
    program = shutil.which("kubectl")
    assert program, "the scripts need kubectl: install it, as their users do"
    config = tmp_path / "kubeconfig"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [
                    {
                        "name": "test",
                        "cluster": {"server": api.url, "certificate-authority": str(api.ca)},
                    }
                ],
                "users": [{"name": "test", "user": {"token": api.token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            }
        )
    )
    return f"{program} --kubeconfig {config}"
