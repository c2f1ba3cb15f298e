"""A Kafka and a Cassandra that require TLS and authentication, with the users and rights of deploy/k8s.

The ACLs are those of its KafkaUsers, the grants those of its Job.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fanfold.adapters.cassandra.grants import grant
from fanfold.adapters.cassandra.migrate import migrate, operator_session, record_partitions
from fanfold.adapters.kafka.admin import apply_topics, partition_counts
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.k8s import named as object_named
from tests.support.k8s import rendered, workload
from tests.support.secured_engines import ADMIN, SecuredCassandra, SecuredKafka, allow

COMMAND_LINE = "from fanfold.ops.command_line import main; main()"
ROLES = ("post_service", "graph_service", "feed_service", "fanout_service", "operator")


class Cluster:
    """The two engines, and their users."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory / "pki", name="the cluster's")
        self.kafka = SecuredKafka(self.authority, password_user="fanout-service-kafka")
        self.cassandra = SecuredCassandra(
            self.authority, object_named(rendered("dev"), "CassandraDatacenter", "dc1")
        )

    def settings(self, kafka: str, role: str, **others: Any) -> Settings:
        """The settings of a process with this certificate and this role."""
        identity = self.authority.identity(kafka)
        return Settings(
            **{
                "kafka_bootstrap": f"127.0.0.1:{self.kafka.port}",
                "kafka_ca": self.authority.ca,
                "kafka_cert": identity.cert,
                "kafka_key": identity.key,
                "cassandra_port": self.cassandra.port,
                "cassandra_ca": self.authority.ca,
                "cassandra_tls_name": "localhost",
                "cassandra_user": role,
                "cassandra_password": role if role == "cassandra" else f"the secret of {role}",
                **others,
            }
        )

    def of(self, name: str, **others: Any) -> Settings:
        """The settings of a service, or of the operator."""
        return self.settings(f"{name.replace('_', '-')}-kafka", name, **others)


async def prepare(cluster: Cluster) -> None:
    """What the Kubernetes operators do, and then what the Job does, with its identity."""
    superuser = cluster.settings("prepare-kafka", "cassandra")

    async def made() -> bool:
        try:
            async with operator_session(superuser, keyspace=None) as cql:
                for role in ROLES:
                    await cql.run(
                        f"CREATE ROLE IF NOT EXISTS {role} "
                        f"WITH PASSWORD = 'the secret of {role}' AND LOGIN = true"
                    )
        except (Unavailable, Fault):
            return False  # A new node creates its first role a moment after it opens its port.
        return True

    await eventually(made, within_s=60, what="roles are made")
    await allow(cluster.settings(ADMIN, "cassandra"), rendered("dev"))
    await migrate(superuser)
    (granting,) = (
        container
        for container in workload(rendered("dev"), "prepare").containers
        if container["args"][:2] == ["schema", "grant"]
    )
    given = [argument.removeprefix("--").split("=") for argument in granting["args"][2:]]
    await grant(
        superuser,
        read=[role for option, role in given if option == "read"],
        write=[role for option, role in given if option == "write"],
    )
    await apply_topics(superuser)
    await record_partitions(superuser, await partition_counts(superuser))


@asynccontextmanager
async def log_of(settings: Settings) -> AsyncIterator[EventLog]:
    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        yield log
