"""Kafka and Cassandra that authenticate every client, configured like those of the manifests."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from fanfold.adapters.kafka.security import client_security
from fanfold.adapters.tls import client_context
from fanfold.core.settings import Settings
from tests.support.certificates import Authority
from tests.support.jars import CassandraFromJars, KafkaFromJars
from tests.support.k8s import Object, of_kind
from tests.support.probes import CQL_OPTIONS, CQL_SUPPORTED, KAFKA_API_VERSIONS, free_port

ADMIN = "admin"
SCRAM_PASSWORD = "open sesame"
_SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
# The codes of Kafka's protocol for the words of a KafkaUser.
_RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
_PATTERNS = {"literal": 3, "prefix": 4}
_OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
_ALLOW = 3


class SecuredKafka(KafkaFromJars):
    """TLS with a certificate at `port`, TLS with a SCRAM password at `password_port`; what no ACL allows is denied."""

    def __init__(
        self, authority: Authority, *, password_user: str, host: str = "127.0.0.1"
    ) -> None:
        super().__init__()
        self._host = host
        self.password_port = free_port()
        self._authority = authority
        self._password_user = password_user
        self._own = authority.identity("kafka")
        self._admin = authority.identity(ADMIN)

    def command(self) -> list[str]:
        command = super().command()
        config = Path(command[-1])
        kept = [
            line
            for line in config.read_text().splitlines()
            if not line.startswith(
                ("listeners=", "advertised.", "inter.broker", "listener.security")
            )
        ]
        config.write_text("\n".join([*kept, *self._security()]) + "\n")
        scram = f'SCRAM-SHA-512=[name={self._password_user},password="{SCRAM_PASSWORD}"]'
        command[2] = command[2].replace(" -c ", f" --add-scram '{scram}' -c ", 1)
        return command

    def _security(self) -> list[str]:
        listeners = f"SSL://{self._host}:{self.port},SASL_SSL://{self._host}:{self.password_port}"
        return [
            f"listeners={listeners},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners={listeners}",
            "inter.broker.listener.name=SSL",
            "listener.security.protocol.map=SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "ssl.client.auth=required",
            "listener.name.sasl_ssl.ssl.client.auth=none",
            "sasl.enabled.mechanisms=SCRAM-SHA-512",
            f"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_SCRAM_MODULE} required;",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={self._own.combined}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={self._authority.ca}",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's listener is plaintext, and reachable from this machine only.
            f"super.users=User:CN=kafka;User:CN={ADMIN};User:ANONYMOUS",
        ]

    def answers(self) -> bool:
        context = client_context(
            self._authority.ca, cert=self._admin.cert, key=self._admin.key, check_hostname=True
        )
        answer = _asked(context, self._host, self.port, KAFKA_API_VERSIONS, 10)
        return answer[4:10] == b"\0\0\0\1\0\0"


class SecuredCassandra(CassandraFromJars):
    """Configured by what a CassandraDatacenter says about clients: TLS, passwords, roles."""

    def __init__(
        self, authority: Authority, datacenter: Object, *, host: str = "127.0.0.1"
    ) -> None:
        super().__init__()
        self._host = host
        self._authority = authority
        self._own = authority.identity("cassandra")
        self._declared = datacenter["spec"]["config"]["cassandra-yaml"]

    def filled(self, template: str, **values: object) -> Path:
        path = super().filled(template, **values)
        config: dict[str, Any] = yaml.safe_load(path.read_text())
        config["listen_address"] = config["rpc_address"] = self._host
        seeds = f"{self._host}:{self.storage_port}"
        config["seed_provider"][0]["parameters"] = [{"seeds": seeds}]
        for key in ("authenticator", "authorizer", "role_manager"):
            config[key] = self._declared[key]
        # The same options with the files of this test.
        config["client_encryption_options"] = {
            **self._declared["client_encryption_options"],
            "keystore": str(self._own.combined),
            "truststore": str(self._authority.ca),
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def answers(self) -> bool:
        context = client_context(self._authority.ca, cert=None, key=None, check_hostname=False)
        answer = _asked(context, self._host, self.port, CQL_OPTIONS, 9)
        return len(answer) == 9 and answer[4] == CQL_SUPPORTED


def _asked(context: ssl.SSLContext, host: str, port: int, question: bytes, wanted: int) -> bytes:
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), timeout=2) as plain,
        context.wrap_socket(plain, server_hostname=host) as peer,
    ):
        peer.sendall(question)
        while len(answer) < wanted and (part := peer.recv(wanted - len(answer))):
            answer += part
    return answer


async def allow(settings: Settings, objects: tuple[Object, ...]) -> None:
    """Create the ACLs of every KafkaUser, as Strimzi's user operator does: for its certificate, and for its name."""
    creations = [
        (
            _RESOURCES[acl["resource"]["type"]],
            acl["resource"]["name"],
            _PATTERNS[acl["resource"].get("patternType", "literal")],
            principal,
            "*",
            _OPERATIONS[operation],
            _ALLOW,
        )
        for user in of_kind(objects, "KafkaUser")
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
        for principal in (f"User:CN={user['metadata']['name']}", f"User:{user['metadata']['name']}")
    ]
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap, **client_security(settings)
    )
    await admin.start()
    try:
        for creation in creations:
            answer = await admin._send_request(CreateAclsRequest(*creation))
            assert [code for code, *_ in answer.creation_responses] == [0], creation
    finally:
        await admin.close()
