"""A node is lost, and every service can still log in: `system_auth` has as many replicas as the manifests' options give it, on a ring of real nodes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy

from tests.support.eventually import eventually
from tests.support.k8s_schemas import ROOT
from tests.support.probes import free_port, wait_until
from tests.support.ring import RingNode, started

# A minute of one core: three nodes start, one after another.
pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]

CONFIG = yaml.safe_load(
    (ROOT / "deploy" / "k8s" / "components" / "cassandra" / "datacenter.yaml").read_text()
)["spec"]["config"]
# RackInferringSnitch takes the second octet of a node's address for its datacenter.
DATACENTER = "0"


class NodeWithRoles(RingNode):
    """With the manifests' authenticator, and their options about the replicas of roles."""

    def filled(self, template: str, **values: object) -> Path:
        path = super().filled(template, **values)
        config = yaml.safe_load(path.read_text())
        for key in ("authenticator", "authorizer", "role_manager"):
            config[key] = CONFIG["cassandra-yaml"][key]
        path.write_text(yaml.safe_dump(config))
        return path

    def command(self) -> list[str]:
        command = super().command()
        options = [
            option.replace("dc_names=dc1", f"dc_names={DATACENTER}")
            for option in CONFIG["jvm-server-options"]["additional-jvm-opts"]
        ]
        at = command.index("-cp")
        return [*command[:at], *options, *command[at:]]

    def run(self, statement: str, *, user: str, password: str) -> None:
        """As this user, by this node alone."""
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy([self.address]), request_timeout=30
        )
        cluster = Cluster(
            [self.address],
            port=self.port,
            protocol_version=5,
            auth_provider=PlainTextAuthProvider(user, password),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        try:
            cluster.connect().execute(statement)
        finally:
            cluster.shutdown()


async def ran(node: NodeWithRoles, statement: str, **credential: str) -> None:
    """Run it as soon as the node lets this user in."""

    async def does() -> bool:
        try:
            node.run(statement, **credential)
        except NoHostAvailable:
            return False
        return True

    await eventually(does, within_s=60, every_s=1, what=statement)


async def test_a_service_can_log_in_when_a_node_that_has_its_role_is_lost() -> None:
    port, storage_port = free_port(), free_port()
    nodes = [NodeWithRoles(number, port=port, storage_port=storage_port) for number in (1, 2, 3)]
    try:
        started(nodes[:1])
        started(nodes[1:])
        first = nodes[0]
        assert wait_until(
            lambda: first.nodetool("status").count("UN  ") == 3, within_s=60, gone=first.is_gone
        )

        role = "CREATE ROLE IF NOT EXISTS post_service WITH PASSWORD = 'p' AND LOGIN = true"
        # The first role is made a moment after a node opens its port.
        await ran(first, role, user="cassandra", password="cassandra")
        printed = first.nodetool("getendpoints", "system_auth", "roles", "post_service")
        # Below what the JVM complains about.
        holding = re.findall(r"^127\.[\d.]+$", printed, re.MULTILINE)
        assert {node.address for node in nodes} == set(holding)

        lost = next(node for node in nodes if node.address == holding[0])
        lost.kill()
        for node in nodes:
            if node is not lost:
                # Until it knows that the other one is gone, it may ask that one for the role.
                await ran(node, "SELECT key FROM system.local", user="post_service", password="p")
    finally:
        for node in nodes:
            node.stop()
