"""A real kube-apiserver and its etcd as child processes, and the few calls that a test makes of it.

There are no controllers, no nodes and no operators: objects are validated, admitted and stored, and nothing comes of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.k8s import Object
from tests.support.k8s_schemas import HOME
from tests.support.probes import free_port, wait_until

START_WITHIN_S = 120.0
ADMIN_TOKEN = "the-administrator-of-a-test"
FORBIDDEN = 403


class Refused(Exception):
    """The server's answer, in its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubeApi:
    """Calls as the administrator, or with another token. `warnings` are those of the last call."""

    def __init__(self, url: str, *, ca: Path, token: str = ADMIN_TOKEN) -> None:
        self.url, self.ca, self.token = url, ca, token
        self.warnings: list[str] = []

    def apply(self, document: Object, *, dry_run: bool = False) -> Object:
        """Server-side, and strictly: a field that the server doesn't know is refused. Raises `Refused`."""
        query = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = f"{self.path_of(document)}?{urllib.parse.urlencode(query)}"
        applied: Object = self.call("PATCH", path, document, kind="application/apply-patch+yaml")
        return applied

    def create(self, document: Object, *, dry_run: bool = False) -> Object:
        """Raises `Refused`."""
        collection = self.path_of(document).rsplit("/", 1)[0]
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        created: Object = self.call("POST", collection + query, document)
        return created

    def get(self, document: Object) -> Object:
        found: Object = self.call("GET", self.path_of(document))
        return found

    def delete(self, document: Object) -> None:
        self.call("DELETE", f"{self.path_of(document)}?propagationPolicy=Background")

    def set_status(self, document: Object, status: Object) -> None:
        """What a controller would find out."""
        path = f"{self.path_of(document)}/status"
        self.call("PATCH", path, {"status": status}, kind="application/merge-patch+json")

    def path_of(self, document: Object) -> str:
        """Where an object is, whether or not it is there."""
        plural, namespaced = self._resources(document["apiVersion"])[document["kind"]]
        version = document["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if namespaced:
            base += f"/namespaces/{document['metadata']['namespace']}"
        return f"{base}/{plural}/{document['metadata']['name']}"

    def serves(self, api_version: str) -> bool:
        """Whether the kinds of this version have been discovered."""
        with contextlib.suppress(Refused):
            return bool(self._resources(api_version))
        return False

    def _resources(self, api_version: str) -> dict[str, tuple[str, bool]]:
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        return {
            resource["kind"]: (resource["name"], resource["namespaced"])
            for resource in self.call("GET", base)["resources"]
            if "/" not in resource["name"]
        }

    def call(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json"
    ) -> Any:
        """Raises `Refused`."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._tls) as answer:
                self.warnings = answer.headers.get_all("Warning") or []
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, _message(error.read().decode())) from error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


def _message(body: str) -> str:
    # What doesn't come from an API, as a group that isn't served yet, is plain text.
    with contextlib.suppress(ValueError):
        return str(json.loads(body)["message"])
    return body


@contextmanager
def running_apiserver() -> Iterator[KubeApi]:
    """Gone at the end, with everything that was in it."""
    home = Path(tempfile.mkdtemp(prefix="fanfold-kube-"))
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    key = home / "service-accounts.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (home / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,1,"system:masters"\n')
    api = KubeApi(f"https://127.0.0.1:{port}", ca=home / "certificates/apiserver.crt")
    with (
        _process(home, "etcd", _etcd(home, etcd_port, peer_port)),
        _process(home, "kube-apiserver", _apiserver(home, etcd_port, port, key)) as process,
    ):
        started = wait_until(
            lambda: _ready(api), within_s=START_WITHIN_S, gone=lambda: process.poll() is not None
        )
        log = home / "kube-apiserver.log"
        assert started, f"kube-apiserver did not start: {log.read_text()[-3000:]}"
        yield api
    shutil.rmtree(home, ignore_errors=True)


def _etcd(home: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # Nothing of it is kept.
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver(home: Path, etcd_port: int, port: int, key: Path) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={home / 'certificates'}",
        "--authorization-mode=RBAC",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/16",
        # It waits for the account that a controller would have made.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
    ]


@contextmanager
def _process(home: Path, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    program = HOME / "bin" / name
    assert program.exists(), f"no {program}: run `make k8s-verify`, which builds it"
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), *arguments], cwd=home, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _ready(api: KubeApi) -> bool:
    if not api.ca.exists():
        return False
    try:
        api.call("GET", "/readyz?exclude=shutdown&verbose=false")
    except json.JSONDecodeError:
        return True  # It says "ok", in plain text.
    except (Refused, OSError, ssl.SSLError):
        return False
    return True
