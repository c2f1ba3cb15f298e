"""Kafka and Cassandra at the address of a cluster's first node, and what their operators would make of our objects: ACLs, roles, Secrets."""

from __future__ import annotations

import base64
import ctypes
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fanfold.adapters.cassandra.migrate import operator_session
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.k8s import MANIFESTS, Object, named, of_kind, rendered
from tests.support.k8s_cluster import HOME, Cluster
from tests.support.secured_cluster import ROLES
from tests.support.secured_engines import ADMIN, SecuredCassandra, SecuredKafka, allow

NODE = "10.89.0.1"
_NAMES = (
    f"IP:{NODE}",
    "DNS:fanfold-kafka-kafka-bootstrap",
    "DNS:fanfold-kafka-kafka-bootstrap.fanfold.svc",
    "DNS:fanfold-cassandra-dc1-service",
)
_CLONE_NEWNET = 0x40000000


@contextmanager
def network_of_the_first_node() -> Iterator[None]:
    """Sockets of this thread, and of threads and processes that it starts, are the node's. Needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = MANIFESTS / "nodes" / "first_process"
    found = subprocess.run([first, HOME, "1"], capture_output=True, text=True, check=True)
    with (
        Path("/proc/thread-self/ns/net").open() as own,
        Path(f"/proc/{found.stdout.strip()}/ns/net").open() as node,
    ):
        _enter(libc, node.fileno())
        try:
            yield
        finally:
            _enter(libc, own.fileno())


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "can't enter the network of a node")


@dataclass(frozen=True)
class NodeEngines:
    """Both engines, and the settings of their administrator."""

    kafka: SecuredKafka
    cassandra: SecuredCassandra
    settings: Settings


@asynccontextmanager
async def engines_at_the_node(
    cluster: Cluster, namespace: str, directory: Path
) -> AsyncIterator[NodeEngines]:
    """Both engines, in the node's network. The Secrets of `scripts/k8s_secrets` must be there; those of operators are made."""
    objects = rendered("dev")
    authority = Authority(directory / "pki", name="the node's", valid_for=_NAMES)
    kafka = SecuredKafka(authority, password_user="fanout-service-kafka", host=NODE)
    cassandra = SecuredCassandra(authority, named(objects, "CassandraDatacenter", "dc1"), host=NODE)
    kafka.port, cassandra.port = 9093, 9042
    try:
        for node in (kafka, cassandra):
            node.launch()
        for node in (kafka, cassandra):
            node.wait()
        settings = _settings(authority)
        await _make_roles(cluster, namespace, settings)
        await allow(settings, objects)
        cluster.apply(_secrets(namespace, authority, objects))
        yield NodeEngines(kafka, cassandra, settings)
    finally:
        for node in (kafka, cassandra):
            node.stop()


def _settings(authority: Authority) -> Settings:
    admin = authority.identity(ADMIN)
    return Settings(
        kafka_bootstrap=f"{NODE}:9093",
        kafka_ca=authority.ca,
        kafka_cert=admin.cert,
        kafka_key=admin.key,
        cassandra_hosts=NODE,
        cassandra_port=9042,
        cassandra_ca=authority.ca,
        cassandra_tls_name="fanfold-cassandra-dc1-service",
        cassandra_user="cassandra",
        cassandra_password="cassandra",
    )


async def _make_roles(cluster: Cluster, namespace: str, settings: Settings) -> None:
    passwords = {role: _password_of(cluster, namespace, role) for role in ROLES}

    async def made() -> bool:
        try:
            async with operator_session(settings, keyspace=None) as cql:
                for role, password in passwords.items():
                    await cql.run(
                        f"CREATE ROLE IF NOT EXISTS {role} WITH PASSWORD = '{password}' AND LOGIN = true"
                    )
        except (Unavailable, Fault):
            return False  # A new node creates its first role a moment after it opens its port.
        return True

    await eventually(made, within_s=120, what="roles are made")


def _password_of(cluster: Cluster, namespace: str, role: str) -> str:
    (secret,) = cluster.get(namespace, f"secret/{role.replace('_', '-')}-cassandra")
    return base64.b64decode(secret["data"]["password"]).decode()


def _secrets(namespace: str, authority: Authority, objects: tuple[Object, ...]) -> list[Object]:
    ca = authority.ca.read_text()
    values = {
        "fanfold-kafka-cluster-ca-cert": {"ca.crt": ca},
        "fanfold-cassandra-ca": {"ca.crt": ca},
        "fanfold-cassandra-superuser": {"username": "cassandra", "password": "cassandra"},
    }
    for user in (found["metadata"]["name"] for found in of_kind(objects, "KafkaUser")):
        identity = authority.identity(user)
        values[user] = {
            "user.crt": identity.cert.read_text(),
            "user.key": identity.key.read_text(),
        }
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": given,
        }
        for name, given in values.items()
    ]
