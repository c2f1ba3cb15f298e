"""The gateway of production on a cluster of our own: a real Envoy Gateway and its proxies, in front of the stand-ins; the issuer of tokens beside them."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.engines_at_a_node import NODE
from tests.support.k8s import MANIFESTS, Object, named, of_kind, rendered
from tests.support.k8s_cluster import NAMESPACE, SCRIPT, Cluster
from tests.support.k8s_issuer import HOST as ISSUER_HOST
from tests.support.k8s_issuer import Issuer, running_issuer

HOST = "api.example.com"
CONTROLLER = "envoy-gateway-system"
PROXIES = "gateway.envoyproxy.io/owning-gateway-name=fanfold"
REPLICAS = 2
KEYS_FOR_S = 5
"""How long a proxy uses keys before it fetches them again; five minutes in production."""
_HTTPS = 10443
"""Where a proxy's pod listens for the Gateway's port 443."""
_KINDS = (
    "EnvoyProxy",
    "Gateway",
    "HTTPRoute",
    "HTTPRouteFilter",
    "SecurityPolicy",
    "ClientTrafficPolicy",
    "BackendTrafficPolicy",
)

_CURL = ["--silent", "--show-error", "--insecure", "--path-as-is", "--http1.1", "--max-time", "20"]


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Mapping[str, Sequence[str]]
    body: str

    def problem(self) -> str:
        """The last part of its type; it must be a problem document of this status."""
        assert self.headers["content-type"] == ["application/problem+json"], self
        document: Object = json.loads(self.body)
        assert document["status"] == self.status, document
        return str(document["type"]).rpartition(":")[2]


@dataclass(frozen=True)
class Gateway:
    """Asked at the address of its Service, from the first node."""

    cluster: Cluster
    address: str
    issuer: Issuer

    def ask(self, path: str, *, token: str | None = None, options: Sequence[str] = ()) -> Answer:
        """One request; `options` are curl's."""
        (answer,) = self.ask_often(path, token=token, options=options)
        return answer

    def ask_every_proxy(self, path: str, *, token: str) -> set[int]:
        """The statuses that they answer."""
        return {
            self.ask(
                path,
                token=token,
                options=("--connect-to", f"{HOST}:443:{pod['status']['podIP']}:{_HTTPS}"),
            ).status
            for pod in _pods(self.cluster)
        }

    def ask_often(
        self, path: str, *, token: str | None = None, options: Sequence[str] = (), times: int = 1
    ) -> list[Answer]:
        """As many requests, each by a connection of its own."""
        bearer = ["--header", f"Authorization: Bearer {token}"] if token else []
        end = "--end of an answer--"
        # A fragment tells curl's pattern to repeat, and is not sent.
        url = f"https://{HOST}{path}#[1-{times}]"
        written = f"\n%{{http_code}}\n%{{header_json}}\n{end}\n"
        words = ["--resolve", f"{HOST}:443:{self.address}", *_CURL]
        asked = subprocess.run(
            [SCRIPT, "inside", "1", "curl", *words, *bearer, *options, "--write-out", written, url],
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr
        return [_answer(part) for part in asked.stdout.split(f"{end}\n")[:-1]]


def _answer(printed: str) -> Answer:
    head, _, headers = printed.rpartition("\n{")
    body, _, status = head.rpartition("\n")
    return Answer(int(status), json.loads("{" + headers), body)


@contextmanager
def running_gateway(cluster: Cluster, directory: Path) -> Iterator[Gateway]:
    """Envoy Gateway, the issuer, and the Gateway of production with two proxies. `directory` is for certificates."""
    install_envoy_gateway(cluster)
    objects = rendered("prod")
    with running_issuer(directory / "issuer") as issuer:
        cluster.apply([_trusted(issuer)])
        cluster.apply([_certificate(directory), named(objects, "ConfigMap", "gateway-docs")])
        cluster.apply([_for_this_cluster(found) for found in of_kind(objects, *_KINDS)])
        try:
            yield Gateway(cluster, address_of_the_gateway(cluster), issuer)
        finally:
            remove_envoy_gateway(cluster)


def _pods(cluster: Cluster) -> list[Object]:
    """The proxies that are not being deleted."""
    return [
        pod
        for pod in cluster.get(CONTROLLER, "pods", "--selector", PROXIES)
        if "deletionTimestamp" not in pod["metadata"]
    ]


def _trusted(issuer: Issuer) -> Object:
    """What the image of production has: the CAs that its proxies trust."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "trusted", "namespace": CONTROLLER},
        "data": {"ca-certificates.crt": issuer.ca},
    }


def _with_an_issuer() -> Object:
    """What DNS and the image give a proxy of production: the issuer's address, and its CA among those of the system."""
    mounted = {"name": "trusted", "mountPath": "/etc/ssl/certs"}
    return {
        "spec": {
            "template": {
                "spec": {
                    "hostAliases": [{"ip": NODE, "hostnames": [ISSUER_HOST]}],
                    "containers": [{"name": "envoy", "volumeMounts": [mounted]}],
                    "volumes": [{"name": "trusted", "configMap": {"name": "trusted"}}],
                }
            }
        }
    }


def install_envoy_gateway(cluster: Cluster) -> None:
    """In a namespace of its own, CONTROLLER; and our class of Gateways."""
    subprocess.run([SCRIPT, "install", "envoy-gateway"], check=True)
    cluster.kubectl(
        "apply", "--server-side", "--filename", str(MANIFESTS / "cluster" / "gateway-class.yaml")
    )


def remove_envoy_gateway(cluster: Cluster) -> None:
    """With its namespace. Pods first: while they are there, a namespace is looked at again after half of their grace, minutes later."""
    cluster.kubectl(
        "--namespace", CONTROLLER, "delete", "deployments", "--all", "--cascade=foreground"
    )
    cluster.kubectl("delete", "namespace", CONTROLLER)


def address_of_the_gateway(cluster: Cluster) -> str:
    """Of its Service, once its proxies are configured and ready."""
    cluster.kubectl(
        *("--namespace", NAMESPACE, "wait", "gateway/fanfold", "--timeout=180s"),
        "--for=condition=Programmed",
    )
    return str(_service(cluster)["spec"]["clusterIP"])


def service_of_the_gateway(cluster: Cluster) -> str:
    """The name that the controller has given it, in CONTROLLER."""
    return str(_service(cluster)["metadata"]["name"])


def _service(cluster: Cluster) -> Object:
    (service,) = cluster.get(CONTROLLER, "services", "--selector", PROXIES)
    return service


def restart_the_proxies(cluster: Cluster) -> None:
    """One after the other; returns when all are new."""
    cluster.kubectl("--namespace", CONTROLLER, "rollout", "restart", _deployment(cluster))
    _proxies_are_ready(cluster)


def replace_a_proxy(cluster: Cluster) -> None:
    """By another pod; returns when that is ready."""
    names = [found["metadata"]["name"] for found in _pods(cluster)]
    cluster.kubectl("--namespace", CONTROLLER, "delete", "pod", names[0])
    _proxies_are_ready(cluster)


def _deployment(cluster: Cluster) -> str:
    (proxies,) = cluster.get(CONTROLLER, "deployments", "--selector", PROXIES)
    return f"deployment/{proxies['metadata']['name']}"


def _proxies_are_ready(cluster: Cluster) -> None:
    cluster.kubectl(
        "--namespace", CONTROLLER, "rollout", "status", _deployment(cluster), "--timeout=240s"
    )


def _for_this_cluster(manifest: Object) -> Object:
    """With the images that are here, small requests, and keys that are fetched more often."""
    changed = copy.deepcopy(manifest)
    if changed["kind"] == "EnvoyProxy":
        provider = changed["spec"]["provider"]["kubernetes"]
        provider["envoyService"] = {"type": "ClusterIP"}
        provider["envoyDeployment"]["replicas"] = REPLICAS
        provider["envoyDeployment"]["patch"] = {"value": _with_an_issuer()}
        provider["envoyDeployment"]["container"] |= {
            "image": "localhost/envoy:1",
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        }
    if changed["kind"] == "SecurityPolicy":
        for provider in changed["spec"]["jwt"]["providers"]:
            provider["remoteJWKS"]["cacheDuration"] = f"{KEYS_FOR_S}s"
    return changed


def _certificate(directory: Path) -> dict[str, Any]:
    """What cert-manager would put where the listener looks for it."""
    key, cert = directory / "gateway.key", directory / "gateway.crt"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN={HOST}",
                "-addext",
                f"subjectAltName=DNS:{HOST}",
            ),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "fanfold-gateway", "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "data": {
            "tls.key": base64.b64encode(key.read_bytes()).decode(),
            "tls.crt": base64.b64encode(cert.read_bytes()).decode(),
        },
    }
